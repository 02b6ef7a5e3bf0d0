"""A parked message is found by its id, and listed in pages."""

from shared.messaging.fifth_schema import find_parked

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the indexes."""
    find_parked()
