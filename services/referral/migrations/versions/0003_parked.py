"""A parked message is settled by somebody, once."""

from shared.messaging.third_schema import settle_parked

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Change the core's tables."""
    settle_parked()
