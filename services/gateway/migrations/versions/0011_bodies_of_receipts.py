"""Which body a receipt answers."""

from shared.messaging.fifth_schema import tell_bodies_of_receipts

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    tell_bodies_of_receipts()
