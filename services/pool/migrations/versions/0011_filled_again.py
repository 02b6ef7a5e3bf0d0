"""How far a stream that the bus forgot is filled again."""

from shared.messaging.sixth_schema import fill_again

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns."""
    fill_again()
