"""What the sixth release adds to the core's tables: how far a stream that the bus forgot is filled again."""

import sqlalchemy as sa
from alembic import op


def fill_again() -> None:
    """Columns without a default, which no row is written for."""
    for name in ("again_from", "again_through", "again_top"):
        op.add_column("relayed_streams", sa.Column(name, sa.BigInteger(), nullable=True))
    told = "Streams published to: another creation time means the bus forgot; again_*: how far it is filled again."
    op.create_table_comment("relayed_streams", told)
