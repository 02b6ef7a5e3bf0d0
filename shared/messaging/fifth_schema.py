"""What the fifth release adds to the core's tables: a parked message is found by its id, and listed in pages."""

import sqlalchemy as sa
from alembic import op

PARKED_ID = (
    r"left(encode(sha256(((((((consumer || '\000') || stream) || '\000') || stream_seq::text) || '\000')"
    r" || replace(message_id, '\', '\\'))::bytea), 'hex'), 16)"
)


def find_parked() -> None:
    """Indexes; the table is not written anew."""
    op.create_index("parked_at", "parked", ["parked_at"])
    op.create_index("parked_id", "parked", [sa.literal_column(PARKED_ID, sa.Text)])
