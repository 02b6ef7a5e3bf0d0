"""How far a stream that the bus forgot is filled again."""

from shared.messaging.sixth_schema import fill_again

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns."""
    fill_again()
