"""Which event of each service was folded last, so that one that comes too early waits for those before it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table; whatever was taken is counted as taken in turn."""
    op.create_table(
        "turns",
        sa.Column("scheme", sa.Text(), primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        sa.Column("last", sa.BigInteger(), nullable=False),
        comment="The last event of each service that was folded: the next one waits for those between (turns.py).",
    )
    op.execute("insert into turns select scheme, '/services/' || service, count(*) from events group by 1, 2")
