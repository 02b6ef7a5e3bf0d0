"""Which body a receipt answers."""

from shared.messaging.fifth_schema import tell_bodies_of_receipts

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    tell_bodies_of_receipts()
