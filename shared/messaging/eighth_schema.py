"""What the eighth release adds to the core's tables: which body a receipt answers."""

import sqlalchemy as sa
from alembic import op


def tell_bodies_of_receipts() -> None:
    """A column that receipts from before leave empty."""
    op.add_column("receipts", sa.Column("body_sha256", sa.LargeBinary(), nullable=True))
