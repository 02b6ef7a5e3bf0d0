"""The first release's tables of the referral service."""

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
        "bars",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("barred_on", sa.Text(), sa.Computed("doc->>'barred_on'", persisted=True), nullable=True),
        sa.Column("until", sa.Text(), sa.Computed("doc->>'until'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "cases",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.Column("recommender", sa.Text(), sa.Computed("doc->>'recommender'", persisted=True), nullable=True),
        sa.Column("parties", JSONB, sa.Computed("doc->'parties'", persisted=True), nullable=True),
        sa.Column("loan_nos", JSONB, sa.Computed("doc->'loan_nos'", persisted=True), nullable=True),
        sa.CheckConstraint("status <> 'financed' OR jsonb_array_length(loan_nos) > 0", name="cases_financed_by_a_loan"),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_index("cases_parties", "cases", ["parties"], unique=False, postgresql_using="gin")
    op.create_index("cases_status", "cases", ["scheme", "status"], unique=False)
    op.create_table(
        "department_years",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("department", sa.Text(), sa.Computed("doc->>'department'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
