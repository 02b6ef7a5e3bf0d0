"""Which upload first reported an event, so that a row that comes again is told as a duplicate."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column."""
    op.add_column("submissions", sa.Column("upload", sa.Text(), nullable=True))
