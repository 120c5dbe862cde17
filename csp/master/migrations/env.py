"""Runs the migration steps on the connection that the master hands over."""

from __future__ import annotations

from alembic import context

from csp.master.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
