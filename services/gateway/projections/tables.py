"""Projections of every service's events: tables that `riskpool gateway rebuild` makes again from them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.gateway.tables import key_column, metadata, scheme_column


def _fen(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _list(name: str) -> Column[list[str]]:
    return Column(name, JSONB, nullable=False, server_default=text("'[]'::jsonb"))


def _map(name: str) -> Column[dict[str, str]]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


cases = Table(
    "cases",
    metadata,
    scheme_column(),
    key_column("uscc"),
    Column("name", Text, nullable=False, server_default=""),
    Column("recommender", Text, nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("referral_status", Text),
    Column("referred_on", Date),
    Column("admitted_on", Date),
    Column("application", JSONB(none_as_null=True)),
    Column("sector", Text),
    _list("traits"),
    Column("need_fen", BigInteger),
    Column("size", Text),
    _list("findings"),
    Column("barred_until", Date),
    Column("review_status", Text),
    Column("review_admitted_on", Date),
    Column("closed_rule", Text),
    Column("grade", Text),
    Column("ratio", Numeric),
    Column("rated_on", Date),
    Column("rounds", Integer, nullable=False, server_default="0"),
    _list("seats"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("product", Text),
    _list("pushed_to"),
    Column("pushed_on", Date),
    Column("deadline_on", Date),
    Column("loan_no", Text),
    _list("preference"),
)
case_parties = Table(
    "case_parties",
    metadata,
    scheme_column(),
    key_column("uscc"),
    key_column("institution"),
    comment="Who besides the agencies may read a case: seats, pushed institutions and parties of the loan.",
)
Index("case_parties_institution", case_parties.c.scheme, case_parties.c.institution)
referrals = Table(
    "referrals",
    metadata,
    scheme_column(),
    key_column("uscc"),
    Column("attempt", Integer, primary_key=True),
    Column("recommender", Text, nullable=False),
    Column("referred_on", Date, nullable=False),
    Column("quarter", Text, nullable=False),
)
Index("referrals_recommender", referrals.c.scheme, referrals.c.recommender, referrals.c.quarter)
compensated = Table(
    "compensated",
    metadata,
    scheme_column(),
    key_column("department"),
    Column("year", Integer, primary_key=True),
    key_column("uscc"),
)
department_flags = Table(
    "department_flags",
    metadata,
    scheme_column(),
    key_column("department"),
    Column("year", Integer, primary_key=True),
    _list("enterprises"),
)
high_slots = Table(
    "high_slots",
    metadata,
    scheme_column(),
    key_column("uscc"),
    Column("year", Integer, nullable=False),
    Column("loan_no", Text),
    comment="Slots of the yearly limit of high ratings that are taken now.",
)

agreements = Table(
    "agreements",
    metadata,
    scheme_column(),
    key_column("institution"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date, nullable=False),
    _list("products"),
    _map("guarantor_shares"),
    Column("fee_rate", Numeric),
    Column("terms", JSONB(none_as_null=True)),
    Column("terminated", Boolean, server_default=text("false"), nullable=False),
)
sanctions = Table(
    "sanctions",
    metadata,
    scheme_column(),
    key_column("event_id"),
    Column("institution", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("reduction", Numeric),
    _list("loan_nos"),
    Column("reason", Text, nullable=False),
    Column("sanctioned_on", Date, nullable=False),
)
Index("sanctions_institution", sanctions.c.scheme, sanctions.c.institution)

loans = Table(
    "loans",
    metadata,
    scheme_column(),
    key_column("loan_no"),
    Column("uscc", Text, nullable=False, server_default=""),
    Column("lender", Text),
    Column("payee", Text),
    Column("guarantor", Text),
    Column("insurer", Text),
    Column("guarantor_share", Numeric),
    Column("recommender", Text),
    Column("product", Text),
    _fen("principal_fen"),
    _fen("repaid_fen"),
    Column("ratio", Numeric),
    Column("annual_rate", Numeric),
    Column("disbursed_on", Date),
    Column("matures_on", Date),
    Column("uncovered", Boolean, nullable=False, server_default="false"),
    Column("claim_status", Text),
    Column("claim", JSONB(none_as_null=True)),
    _fen("approved_fen"),
)
Index("loans_uscc", loans.c.scheme, loans.c.uscc)
payouts = Table(
    "payouts",
    metadata,
    scheme_column(),
    key_column("kind"),
    key_column("ref"),
    Column("loan_no", Text),
    Column("uscc", Text),
    Column("payee", Text),
    Column("place", BigInteger, nullable=False, server_default="0"),
    _fen("released_fen"),
    _fen("instructed_fen"),
    _fen("settled_fen"),
    Column("reason", Text),
    comment="What the pool has to pay: released - instructed is held; a returned transfer lowers instructed.",
)
Index("payouts_loan", payouts.c.scheme, payouts.c.loan_no)
disbursements = Table(
    "disbursements",
    metadata,
    scheme_column(),
    key_column("id"),
    Column("position", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    _fen("amount_fen"),
    Column("payee", Text),
    Column("uscc", Text),
    Column("loan_no", Text),
    Column("policy_no", Text),
    Column("year", Integer),
    _map("shares"),
    Column("instructed_on", Date),
    Column("settled_on", Date),
    Column("bank_ref", Text),
    Column("reason", Text),
)
Index("disbursements_position", disbursements.c.scheme, disbursements.c.position)
Index("disbursements_loan", disbursements.c.scheme, disbursements.c.loan_no)
fund = Table(
    "fund",
    metadata,
    scheme_column(),
    Column("version", BigInteger, nullable=False),
    Column("figures", JSONB, nullable=False),
)
fund_days = Table(
    "fund_days",
    metadata,
    scheme_column(),
    Column("on", Date, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("figures", JSONB, nullable=False),
    comment="The fund at the end of each day on which something happened: its curves.",
)
ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("position", BigInteger, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("scheme", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("on", Date, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    ForeignKeyConstraint(["position"], ["events.position"]),
)
Index("ledger_entries_account", ledger_entries.c.scheme, ledger_entries.c.account, ledger_entries.c.position)

recoveries = Table(
    "recoveries",
    metadata,
    scheme_column(),
    key_column("loan_no"),
    Column("uscc", Text, nullable=False, server_default=""),
    Column("payee", Text),
    Column("lender", Text),
    Column("guarantor", Text),
    Column("status", Text, nullable=False, server_default="open"),
    Column("opened_on", Date),
    _fen("paid_fen"),
    _fen("collected_fen"),
    _fen("costs_fen"),
    _fen("pool_share_fen"),
    _fen("remitted_fen"),
    _fen("written_off_fen"),
    _fen("clawback_fen"),
    _fen("clawed_back_fen"),
    _fen("overdue_fen"),
    Column("due_on", Date),
)
reports = Table(
    "reports",
    metadata,
    scheme_column(),
    key_column("kind"),
    key_column("period"),
    Column("organisation", Text, nullable=False),
    Column("done_on", Date, nullable=False),
)

waiting = Table(
    "waiting",
    metadata,
    scheme_column(),
    key_column("organisation"),
    key_column("kind"),
    key_column("about"),
    Column("uscc", Text),
    Column("half", Text),
    Column("since", Date, nullable=False),
    Column("opens_on", Date),
    Column("due_on", Date),
    comment="What waits for an organisation, as one service's events say: its worklist.",
)
Index("waiting_about", waiting.c.scheme, waiting.c.kind, waiting.c.about)
Index("waiting_uscc", waiting.c.scheme, waiting.c.uscc)
Index("loans_claim_status", loans.c.scheme, loans.c.claim_status)
Index("cases_recommender", cases.c.scheme, cases.c.recommender)

