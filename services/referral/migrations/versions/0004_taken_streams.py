"""How far each stream has been taken."""

from shared.messaging.fourth_schema import add_taken_streams

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    add_taken_streams()
