"""The first release's tables of the pool service."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.database import keep_forever, run_ddl
from shared.messaging.first_schema import create_core_tables

revision = "0001"
down_revision = None

ENTRIES_KEPT = keep_forever("entries")
ENTRIES_BALANCED = """
create function entries_balanced() returns trigger language plpgsql as $$
begin
    if (select sum(amount_fen) from entries where scheme = new.scheme and event_id = new.event_id) <> 0 then
        raise exception 'the entries of event % do not sum to zero', new.event_id using errcode = 'check_violation';
    end if;
    return null;
end $$
--
create constraint trigger entries_balanced after insert on entries
    deferrable initially deferred for each row execute function entries_balanced()
"""


def upgrade() -> None:
    """Make the tables."""
    create_core_tables()
    op.create_table(
        "approvals",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column(
            "waits", sa.Boolean(), sa.Computed("jsonb_array_length(doc->'waiting') > 0", persisted=True), nullable=True
        ),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "bank_refs",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "compensations",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("uscc", sa.Text(), sa.Computed("doc->>'uscc'", persisted=True), nullable=True),
        sa.Column(
            "approved_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'approved_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "paid_fen", sa.BigInteger(), sa.Computed("((doc->>'paid_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "held_fen", sa.BigInteger(), sa.Computed("((doc->>'held_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "recovered_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'recovered_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "clawed_fen", sa.BigInteger(), sa.Computed("((doc->>'clawed_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "written_off_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'written_off_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint("key = doc->>'loan_no'", name="compensations_one_a_loan"),
        sa.CheckConstraint("paid_fen + held_fen = approved_fen", name="compensations_within_approved"),
        sa.CheckConstraint("paid_fen >= 0 and held_fen >= 0", name="compensations_not_negative"),
        sa.CheckConstraint(
            "recovered_fen >= 0 and clawed_fen >= 0 and written_off_fen >= 0",
            name="compensations_come_back_not_negative",
        ),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "disbursements",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("status", sa.Text(), sa.Computed("doc->>'status'", persisted=True), nullable=True),
        sa.Column("kind", sa.Text(), sa.Computed("doc->>'kind'", persisted=True), nullable=True),
        sa.Column("bank_ref", sa.Text(), sa.Computed("doc->>'bank_ref'", persisted=True), nullable=True),
        sa.Column(
            "amount_fen", sa.BigInteger(), sa.Computed("((doc->>'amount_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.CheckConstraint("(status = 'settled') = (bank_ref is not null)", name="disbursements_settled_by_reference"),
        sa.CheckConstraint("status in ('instructed', 'settled', 'returned')", name="disbursements_status"),
        sa.CheckConstraint("amount_fen > 0", name="disbursements_above_zero"),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_index("disbursements_status_of", "disbursements", ["scheme", "status"], unique=False)
    op.create_table(
        "entries",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("amount_fen <> 0", name="entries_not_zero"),
        sa.PrimaryKeyConstraint("scheme", "event_id", "line"),
        comment="The double-entry ledger: a debit is positive, a credit negative; event_id caused it.",
    )
    op.create_index("entries_account", "entries", ["scheme", "account", "effective_on"], unique=False)
    op.create_table(
        "fund",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("state", sa.Text(), sa.Computed("doc->>'state'", persisted=True), nullable=True),
        sa.Column(
            "cash_fen", sa.BigInteger(), sa.Computed("((doc->>'cash_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "instructed_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'instructed_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "unallocated_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'unallocated_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "shortfall_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'shortfall_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "gross_fen", sa.BigInteger(), sa.Computed("((doc->>'gross_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "recovered_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'recovered_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "clawed_fen", sa.BigInteger(), sa.Computed("((doc->>'clawed_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.Column(
            "written_off_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'written_off_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "counter_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'counter_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "counter_limit_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'counter_limit_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "available_fen",
            sa.BigInteger(),
            sa.Computed(
                "+ (doc->>'cash_fen')::bigint - (doc->>'instructed_fen')::bigint"
                " - (doc->>'unallocated_fen')::bigint + (doc->>'shortfall_fen')::bigint",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.CheckConstraint("key = 'fund'", name="fund_is_one"),
        sa.CheckConstraint("state in ('active', 'paused')", name="fund_state"),
        sa.CheckConstraint("available_fen >= 0", name="fund_available_not_negative"),
        sa.CheckConstraint("cash_fen >= 0", name="fund_cash_not_negative"),
        sa.CheckConstraint("counter_fen >= 0 and counter_fen <= counter_limit_fen", name="fund_counter_within_line"),
        sa.CheckConstraint(
            "gross_fen >= 0 and recovered_fen >= 0 and clawed_fen >= 0 and written_off_fen >= 0", name="fund_totals"
        ),
        sa.CheckConstraint("instructed_fen >= 0", name="fund_instructed_not_negative"),
        sa.CheckConstraint(
            "shortfall_fen >= 0 and (shortfall_fen = 0 or available_fen = 0)", name="fund_nothing_while_short"
        ),
        sa.CheckConstraint("unallocated_fen >= 0", name="fund_unallocated_not_negative"),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    op.create_table(
        "subsidies",
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("doc", JSONB, nullable=False),
        sa.Column("uscc", sa.Text(), sa.Computed("doc->>'uscc'", persisted=True), nullable=True),
        sa.Column(
            "approved_fen",
            sa.BigInteger(),
            sa.Computed("((doc->>'approved_fen')::bigint)", persisted=True),
            nullable=True,
        ),
        sa.Column(
            "paid_fen", sa.BigInteger(), sa.Computed("((doc->>'paid_fen')::bigint)", persisted=True), nullable=True
        ),
        sa.CheckConstraint("key = doc->>'policy_no'", name="subsidies_one_a_policy"),
        sa.CheckConstraint("paid_fen >= 0 and paid_fen <= approved_fen", name="subsidies_within_approved"),
        sa.PrimaryKeyConstraint("scheme", "key"),
    )
    run_ddl(op.get_bind(), ENTRIES_BALANCED)
    run_ddl(op.get_bind(), ENTRIES_KEPT)
