"""How far each stream has been taken."""

from shared.messaging.taken_schema import add_taken_streams

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    add_taken_streams()
