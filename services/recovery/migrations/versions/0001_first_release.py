"""The first release's tables of the recovery service."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.messaging.first_schema import create_core_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    create_core_tables()
    op.create_table(
        "recoveries",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.Column("payee", sa.Text(), sa.Computed("doc->>'payee'", persisted=True), nullable=True),
        sa.Column("next_due_on", sa.Text(), sa.Computed("doc->>'next_due_on'", persisted=True), nullable=True),
        sa.Column(
            "verified_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'verified_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "paid_fen", sa.BigInteger(), sa.Computed("((doc->>'paid_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "collected_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'collected_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "pool_share_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'pool_share_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "institution_share_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'institution_share_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "remitted_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'remitted_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "returned_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'returned_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "written_off_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'written_off_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint("institution_share_fen >= 0", name="recoveries_institution_share"),
        sa.CheckConstraint("paid_fen <= verified_fen", name="recoveries_paid_within_verified"),
        sa.CheckConstraint("pool_share_fen + institution_share_fen = collected_fen", name="recoveries_shares_add_up"),
        sa.CheckConstraint("pool_share_fen >= 0 AND pool_share_fen <= paid_fen", name="recoveries_share_within_paid"),
        sa.CheckConstraint("remitted_fen >= 0 AND returned_fen >= 0", name="recoveries_remitted"),
        sa.CheckConstraint(
            "written_off_fen >= 0 AND written_off_fen <= paid_fen", name="recoveries_written_off_within_paid"
        ),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_index("recoveries_next_due_on", "recoveries", ["scheme", "next_due_on"], unique=False)
    op.create_table(
        "reports",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
