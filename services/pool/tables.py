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
    LargeBinary,
    MetaData,
    Table,
    Text,
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

closes = aggregate_table("closes", metadata)

journal = Table(
    "journal",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    CheckConstraint("amount_fen > 0 and debit <> credit", name="journal_moves_money"),
    comment="The double-entry ledger, balanced by construction; sha256 chains the rows (journal.py).",
)
account_days = Table(
    "account_days",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("debit_fen", BigInteger, nullable=False),
    Column("credit_fen", BigInteger, nullable=False),
    CheckConstraint("debit_fen >= 0 and credit_fen >= 0", name="account_days_not_negative"),
    comment="What moved on each account each day: the journal added up, in the transaction that writes it.",
)
party_days = Table(
    "party_days",
    metadata,
    Column("scheme", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("institution", Text, primary_key=True),
    Column("department", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("debit_fen", BigInteger, nullable=False),
    Column("credit_fen", BigInteger, nullable=False),
    CheckConstraint("debit_fen >= 0 and credit_fen >= 0", name="party_days_not_negative"),
    comment="What moved each day of each institution's and department's compensations, in the same transaction.",
)
entries = Table(
    "entries",
    MetaData(),
    *(Column(name, Text) for name in ("scheme", "event_id", "account")),
    Column("line", BigInteger),
    Column("amount_fen", BigInteger),
    Column("effective_on", Date),
    Column("recorded_at", DateTime(timezone=True)),
)
"""A view of the journal: two lines a row, a debit positive and a credit negative."""

ENTRIES = """
create view entries as
    select scheme, event_id, 2 * seq - 1 as line, debit as account, amount_fen, effective_on, recorded_at from journal
    union all
    select scheme, event_id, 2 * seq, credit, -amount_fen, effective_on, recorded_at from journal
"""
JOURNAL_KEPT = keep_forever("journal")
"""What the migration adds by hand: Alembic's autogenerate sees neither views nor triggers."""

ONE_WAY = """
create function disbursement_goes_one_way() returns trigger language plpgsql as $$ begin
    if old.status <> 'instructed' or old.amount_fen <> new.amount_fen or old.kind <> new.kind then
        raise exception 'disbursement % was %, and is not changed', old.key, old.status
            using errcode = 'check_violation', constraint = 'disbursements_one_way';
    end if;
    return null;
end $$
--
create trigger disbursements_one_way after update on disbursements
    for each row when (old.doc <> new.doc) execute function disbursement_goes_one_way()
"""
"""What was settled or returned stays so, and what was instructed keeps its amount (pool.custodian, 三(六))."""
