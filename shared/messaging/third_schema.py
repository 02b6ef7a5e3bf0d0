"""What the third release adds to the core's tables: who settled a parked message, and how."""

import sqlalchemy as sa
from alembic import op


def settle_parked() -> None:
    """Columns for the end of a parked message."""
    op.add_column("parked", sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True))
    for name in ("settlement", "settled_by", "reason"):
        op.add_column("parked", sa.Column(name, sa.Text(), nullable=True))
    op.create_index("parked_unsettled", "parked", ["parked_at"], postgresql_where=sa.text("settled_at is null"))
