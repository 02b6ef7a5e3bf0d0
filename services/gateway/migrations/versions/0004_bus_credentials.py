"""Partners' credentials for the bus."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _text(*names: str) -> tuple[sa.Column, ...]:
    return tuple(sa.Column(name, sa.Text(), nullable=False) for name in names)


def _moment(name: str, **more: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **more)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "bus_credentials",
        *_text("id", "scheme", "institution", "account", "signing_key", "user_key"),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        _moment("issued_at", server_default=sa.text("now()"), nullable=False),
        *_text("issued_by"),
        _moment("expires_at", nullable=True),
        _moment("revoked_at", nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("signing_key"),
        sa.UniqueConstraint("user_key"),
        comment="Credentials for the bus: an account an institution and scheme, a signing key for each of its users.",
    )
    op.create_index("bus_credentials_institution", "bus_credentials", ["scheme", "institution"])
