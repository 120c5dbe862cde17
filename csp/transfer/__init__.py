"""Import and export of whole configurations."""
