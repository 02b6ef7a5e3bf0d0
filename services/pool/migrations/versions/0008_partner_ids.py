"""A partner's event ids are its own in each scheme."""

from shared.messaging.seventh_schema import name_schemes_of_partner_events

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Name the scheme in the source of partners' events."""
    name_schemes_of_partner_events()
