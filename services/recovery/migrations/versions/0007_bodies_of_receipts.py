"""Which body a receipt answers."""

from shared.messaging.eighth_schema import tell_bodies_of_receipts

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    tell_bodies_of_receipts()
