"""The first release's tables of the review service."""

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
        "agreements",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("kind", sa.Text(), sa.Computed("doc->>'kind'", persisted=True), nullable=True),
        sa.Column("valid_from", sa.Text(), sa.Computed("doc->>'valid_from'", persisted=True), nullable=True),
        sa.Column("valid_to", sa.Text(), sa.Computed("doc->>'valid_to'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "batches",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "cases",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.Column("deadline_on", sa.Text(), sa.Computed("doc->>'deadline_on'", persisted=True), nullable=True),
        sa.Column("lapses_on", sa.Text(), sa.Computed("doc->>'lapses_on'", persisted=True), nullable=True),
        sa.Column(
            "legal_representative",
            sa.Text(),
            sa.Computed("doc->>'legal_representative'", persisted=True),
            nullable=True,
        ),
        sa.Column("affiliates", JSONB, sa.Computed("doc->'affiliates'", persisted=True), nullable=True),
        sa.Column("shareholders", JSONB, sa.Computed("doc->'shareholders'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_index("cases_affiliates", "cases", ["affiliates"], unique=False, postgresql_using="gin")
    op.create_index("cases_shareholders", "cases", ["shareholders"], unique=False, postgresql_using="gin")
    op.create_index("cases_status", "cases", ["scheme", "status"], unique=False)
    op.create_table(
        "high_quotas",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column(
            "used", sa.Integer(), sa.Computed("jsonb_array_length(doc->'enterprises')", persisted=True), nullable=True
        ),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "loans",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.Column("lender", sa.Text(), sa.Computed("doc->>'lender'", persisted=True), nullable=True),
        sa.Column("payee", sa.Text(), sa.Computed("doc->>'payee'", persisted=True), nullable=True),
        sa.Column("uscc", sa.Text(), sa.Computed("doc->>'uscc'", persisted=True), nullable=True),
        sa.Column("claimant", sa.Text(), sa.Computed("doc->'claim'->>'claimant'", persisted=True), nullable=True),
        sa.Column(
            "outstanding_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'outstanding_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "principal_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'principal_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint("outstanding_fen BETWEEN 0 AND principal_fen", name="loans_outstanding_within_principal"),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_index("loans_status", "loans", ["scheme", "status"], unique=False)
    op.create_index("loans_uscc_once", "loans", ["scheme", "uscc"], unique=True)
    op.create_table(
        "subsidies",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.Column("loan_no", sa.Text(), sa.Computed("doc->>'loan_no'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
