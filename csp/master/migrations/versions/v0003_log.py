"""Gives the log's entries a table of their own, and history records what changed.

The window of the log goes along; what of it is left, and how much that is, stands in the head.
Records of earlier changes are told from the log for as long as it has them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.String(16), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("entry", sa.LargeBinary, nullable=False),
    )
    op.execute(
        "INSERT INTO entries (revision, mark, time_ms, size, entry) "
        "SELECT revision, mark, time_ms, entry_size, entry FROM history WHERE entry IS NOT NULL "
        "ORDER BY revision"
    )
    for name in ("pruned_to", "counted_to", "entry_bytes"):
        op.add_column("head", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE head SET counted_to = revision, "
        "pruned_to = COALESCE((SELECT MIN(revision) - 1 FROM entries), revision), "
        "entry_bytes = COALESCE((SELECT SUM(size) FROM entries), 0)"
    )
    op.drop_column("history", "entry")
    op.drop_column("history", "entry_size")
    op.add_column("history", sa.Column("details", sa.LargeBinary, nullable=True))


def downgrade() -> None:
    """There is no way back but a backup."""
    raise RuntimeError("restore the backup that was made before the upgrade")
