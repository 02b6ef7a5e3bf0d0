"""How far each stream has been taken."""

from shared.messaging.fourth_schema import add_taken_streams

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    add_taken_streams()
