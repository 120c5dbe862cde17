"""Brings the tables to this release's form, one master at a time.

Alembic is imported only where there is something to do: it takes longer than all else that a
restarted writer does.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select

from csp import errors
from csp.master import schema
from csp.master.dialect import migrating

MIGRATIONS = "csp.master:migrations"


def upgrade(connection: Connection) -> None:
    """Runs the steps that are missing, in one transaction; BadValue for a newer csp's tables."""
    with connection.begin():
        if version_of(connection) == schema.VERSION:
            return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    config.set_main_option("path_separator", "os")
    known = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    with connection.begin(), migrating(connection):
        found = version_of(connection)
        if found is not None and found not in known:
            raise errors.BadValue(
                f"--db: the tables have form {found}, made by a newer csp; this one knows "
                f"forms up to {schema.VERSION}: use the newer csp, or restore a backup that "
                f"an older one made"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def version_of(connection: Connection) -> str | None:
    """The form that the tables have, as this transaction sees it; None in a new database."""
    if not inspect(connection).has_table(schema.versions.name):
        return None
    found: str | None = connection.execute(select(schema.versions)).scalar()
    return found
