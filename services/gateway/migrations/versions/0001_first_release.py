"""The first release's tables of the gateway service."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.messaging.first_schema import create_core_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    create_core_tables()
    op.create_table(
        "agreements",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=False),
        sa.Column("products", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("guarantor_shares", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("fee_rate", sa.Numeric(), nullable=True),
        sa.Column("terms", JSONB, nullable=True),
        sa.PrimaryKeyConstraint("scheme", "institution"),
    )
    op.create_table(
        "business_days",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "date"),
    )
    op.create_table(
        "case_parties",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "uscc", "institution"),
        comment="Who besides the agencies may read a case: seats, pushed institutions and parties of the loan.",
    )
    op.create_index("case_parties_institution", "case_parties", ["scheme", "institution"], unique=False)
    op.create_table(
        "cases",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("recommender", sa.Text(), server_default="", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("referral_status", sa.Text(), nullable=True),
        sa.Column("referred_on", sa.Date(), nullable=True),
        sa.Column("admitted_on", sa.Date(), nullable=True),
        sa.Column("application", JSONB, nullable=True),
        sa.Column("size", sa.Text(), nullable=True),
        sa.Column("findings", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("barred_until", sa.Date(), nullable=True),
        sa.Column("review_status", sa.Text(), nullable=True),
        sa.Column("review_admitted_on", sa.Date(), nullable=True),
        sa.Column("closed_rule", sa.Text(), nullable=True),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("ratio", sa.Numeric(), nullable=True),
        sa.Column("rated_on", sa.Date(), nullable=True),
        sa.Column("rounds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seats", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("pushed_to", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("pushed_on", sa.Date(), nullable=True),
        sa.Column("deadline_on", sa.Date(), nullable=True),
        sa.Column("loan_no", sa.Text(), nullable=True),
        sa.Column("preference", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "uscc"),
    )
    op.create_table(
        "compensated",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "department", "year", "uscc"),
    )
    op.create_table(
        "department_flags",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("enterprises", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "department", "year"),
    )
    op.create_table(
        "disbursements",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("uscc", sa.Text(), nullable=True),
        sa.Column("loan_no", sa.Text(), nullable=True),
        sa.Column("policy_no", sa.Text(), nullable=True),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("shares", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("instructed_on", sa.Date(), nullable=True),
        sa.Column("settled_on", sa.Date(), nullable=True),
        sa.Column("bank_ref", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "id"),
    )
    op.create_index("disbursements_loan", "disbursements", ["scheme", "loan_no"], unique=False)
    op.create_index("disbursements_position", "disbursements", ["scheme", "position"], unique=False)
    op.create_table(
        "event_positions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="One row, locked by every projecting transaction: positions grow in commit order without a gap.",
    )
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("about", ARRAY(sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("causation_id", sa.Text(), nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("why", JSONB, nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("service", "id"),
    )
    op.create_index("events_about", "events", ["about"], unique=False, postgresql_using="gin")
    op.create_index("events_of_scheme", "events", ["scheme", "position"], unique=False)
    op.create_index("events_of_type", "events", ["scheme", "type", "position"], unique=False)
    op.create_table(
        "fund",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("figures", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("scheme"),
    )
    op.create_table(
        "high_slots",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("loan_no", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "uscc"),
        comment="Slots of the yearly limit of high ratings that are taken now.",
    )
    op.create_table(
        "loans",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("loan_no", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), server_default="", nullable=False),
        sa.Column("lender", sa.Text(), nullable=True),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("guarantor", sa.Text(), nullable=True),
        sa.Column("insurer", sa.Text(), nullable=True),
        sa.Column("guarantor_share", sa.Numeric(), nullable=True),
        sa.Column("recommender", sa.Text(), nullable=True),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("principal_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("repaid_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ratio", sa.Numeric(), nullable=True),
        sa.Column("annual_rate", sa.Numeric(), nullable=True),
        sa.Column("disbursed_on", sa.Date(), nullable=True),
        sa.Column("matures_on", sa.Date(), nullable=True),
        sa.Column("uncovered", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("claim_status", sa.Text(), nullable=True),
        sa.Column("claim", JSONB, nullable=True),
        sa.Column("approved_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("scheme", "loan_no"),
    )
    op.create_index("loans_uscc", "loans", ["scheme", "uscc"], unique=False)
    op.create_table(
        "payouts",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("loan_no", sa.Text(), nullable=True),
        sa.Column("uscc", sa.Text(), nullable=True),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("place", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("released_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("instructed_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("settled_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "kind", "ref"),
        comment="What the pool has to pay: released - instructed is held; a returned transfer lowers instructed.",
    )
    op.create_index("payouts_loan", "payouts", ["scheme", "loan_no"], unique=False)
    op.create_table(
        "recoveries",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("loan_no", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), server_default="", nullable=False),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("lender", sa.Text(), nullable=True),
        sa.Column("guarantor", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=True),
        sa.Column("paid_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("collected_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("costs_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pool_share_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("remitted_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("written_off_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("clawback_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("clawed_back_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("overdue_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("scheme", "loan_no"),
    )
    op.create_table(
        "referrals",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("recommender", sa.Text(), nullable=False),
        sa.Column("referred_on", sa.Date(), nullable=False),
        sa.Column("quarter", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "uscc", "attempt"),
    )
    op.create_index("referrals_recommender", "referrals", ["scheme", "recommender", "quarter"], unique=False)
    op.create_table(
        "reports",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("done_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "kind", "period"),
    )
    op.create_table(
        "sanctions",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("reduction", sa.Numeric(), nullable=True),
        sa.Column("loan_nos", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sanctioned_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "event_id"),
    )
    op.create_index("sanctions_institution", "sanctions", ["scheme", "institution"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("scheme", "institution", "event_id"),
        comment="What institutions reported over HTTP: one id never stands for two contents.",
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
        comment="Bearer tokens of organisations: only their SHA-256 is kept.",
    )
    op.create_table(
        "ledger_entries",
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("on", sa.Date(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["position"],
            ["events.position"],
        ),
        sa.PrimaryKeyConstraint("position", "line"),
    )
    op.create_index("ledger_entries_account", "ledger_entries", ["scheme", "account", "position"], unique=False)
