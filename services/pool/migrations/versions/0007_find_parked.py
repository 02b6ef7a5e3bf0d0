"""A parked message is found by its id, and listed in pages."""

from shared.messaging.fifth_schema import find_parked

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the indexes."""
    find_parked()
