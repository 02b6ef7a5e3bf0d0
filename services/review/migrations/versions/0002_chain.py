"""Events are chained, and a scheme's writer is fenced."""

from shared.messaging.second_schema import add_chain

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Change the core's tables."""
    add_chain()
