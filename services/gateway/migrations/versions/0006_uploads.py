"""Tables of partner events that institutions upload."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"


def _text(*names: str) -> tuple[sa.Column, ...]:
    return tuple(sa.Column(name, sa.Text(), nullable=False) for name in names)


def _number(*names: str) -> tuple[sa.Column, ...]:
    return tuple(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in names)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "uploads",
        *_text("id", "scheme", "institution", "event", "name", "kind", "sha256"),
        sa.Column("headings", JSONB, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        *_number("line"),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        *_number("accepted", "duplicate", "refused", "unreadable"),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in ("moment", "uploaded_at")),
        sa.Column("account", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="Tables of partner events that institutions uploaded; line is how far their rows were reported.",
    )
    op.create_index("uploads_institution", "uploads", ["scheme", "institution", "id"])
    op.create_table(
        "upload_rows",
        *_text("upload"),
        sa.Column("line", sa.Integer(), nullable=False),
        *_text("event_id", "outcome"),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("rule", "detail")),
        sa.Column("cells", JSONB, nullable=True),
        sa.PrimaryKeyConstraint("upload", "line"),
        comment="What became of each row of an upload, with its cells where it was rejected.",
    )
