"""What the fourth release adds to the core's tables: how far the database has taken each stream."""

import sqlalchemy as sa
from alembic import op


def add_taken_streams() -> None:
    """Make the table."""
    op.create_table(
        "taken_streams",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("consumer_made", sa.Text(), nullable=False),
        sa.Column("stream_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream"),
        comment="How far this database has taken each stream: a consumer that is further must read again (healing.py).",
    )
