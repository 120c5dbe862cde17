"""Options: load, validate, normalise, freeze."""
