"""Brings a database's tables to the form that this release uses, by Alembic."""
