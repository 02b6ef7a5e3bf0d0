"""Where the pool keeps the fold of its own events and its ledger; the money rules that the database checks again."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
)

from shared.aggregates import aggregate_table
from shared.database import keep_forever

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, Computed(f"doc->>'{name}'", persisted=True))


def _fen(name: str, expression: str = "") -> Column[int]:
    return Column(name, BigInteger, Computed(expression or f"((doc->>'{name}')::bigint)", persisted=True))


def _of(*signed: str) -> str:
    return " ".join(f"{sign[0]} (doc->>'{sign[1:]}')::bigint" for sign in signed)


fund = aggregate_table(
    "fund", metadata,
    _text("state"), _fen("cash_fen"), _fen("instructed_fen"), _fen("unallocated_fen"), _fen("shortfall_fen"),
    _fen("gross_fen"), _fen("recovered_fen"), _fen("clawed_fen"), _fen("written_off_fen"), _fen("counter_fen"),
    _fen("counter_limit_fen"),
    _fen("available_fen", _of("+cash_fen", "-instructed_fen", "-unallocated_fen", "+shortfall_fen")),
    CheckConstraint("key = 'fund'", name="fund_is_one"),
    CheckConstraint("state in ('active', 'paused')", name="fund_state"),
    CheckConstraint("cash_fen >= 0", name="fund_cash_not_negative"),
    CheckConstraint("instructed_fen >= 0", name="fund_instructed_not_negative"),
    CheckConstraint("unallocated_fen >= 0", name="fund_unallocated_not_negative"),
    CheckConstraint("available_fen >= 0", name="fund_available_not_negative"),
    CheckConstraint("shortfall_fen >= 0 and (shortfall_fen = 0 or available_fen = 0)", name="fund_nothing_while_short"),
    CheckConstraint(
        "gross_fen >= 0 and recovered_fen >= 0 and clawed_fen >= 0 and written_off_fen >= 0", name="fund_totals"
    ),
    CheckConstraint("counter_fen >= 0 and counter_fen <= counter_limit_fen", name="fund_counter_within_line"),
)

compensations = aggregate_table(
    "compensations", metadata,
    _text("uscc"), _fen("approved_fen"), _fen("paid_fen"), _fen("held_fen"), _fen("recovered_fen"), _fen("clawed_fen"),
    _fen("written_off_fen"),
    CheckConstraint("key = doc->>'loan_no'", name="compensations_one_a_loan"),
    CheckConstraint("paid_fen >= 0 and held_fen >= 0", name="compensations_not_negative"),
    CheckConstraint("paid_fen + held_fen = approved_fen", name="compensations_within_approved"),
    CheckConstraint(
        "recovered_fen >= 0 and clawed_fen >= 0 and written_off_fen >= 0", name="compensations_come_back_not_negative"
    ),
)

subsidies = aggregate_table(
    "subsidies", metadata,
    _text("uscc"), _fen("approved_fen"), _fen("paid_fen"),
    CheckConstraint("key = doc->>'policy_no'", name="subsidies_one_a_policy"),
    CheckConstraint("paid_fen >= 0 and paid_fen <= approved_fen", name="subsidies_within_approved"),
)

disbursements = aggregate_table(
    "disbursements", metadata,
    _text("status"), _text("kind"), _text("bank_ref"), _fen("amount_fen"),
    CheckConstraint("amount_fen > 0", name="disbursements_above_zero"),
    CheckConstraint("status in ('instructed', 'settled', 'returned')", name="disbursements_status"),
    CheckConstraint("(status = 'settled') = (bank_ref is not null)", name="disbursements_settled_by_reference"),
)
Index("disbursements_status_of", disbursements.c.scheme, disbursements.c.status)

approvals = aggregate_table(
    "approvals", metadata,
    Column("waits", Boolean, Computed("jsonb_array_length(doc->'waiting') > 0", persisted=True)),
)

bank_refs = aggregate_table("bank_refs", metadata)

entries = Table(
    "entries",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("amount_fen <> 0", name="entries_not_zero"),
    comment="The double-entry ledger: a debit is positive, a credit negative; event_id caused it.",
)
Index("entries_account", entries.c.scheme, entries.c.account, entries.c.effective_on)

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
"""What the migration adds by hand: Alembic's autogenerate sees no triggers."""
