"""Backups and audits that were made, for the page that shows how the platform runs."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "upkeep",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        comment="Backups and audits that were made, and how each ended.",
    )
