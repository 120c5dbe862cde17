"""The tables in which the truth stands once: commands, options, errors, metrics, objects."""
