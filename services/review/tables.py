"""Where the review service keeps the fold of its own events, and the money rules that the database checks again."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, Integer, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.aggregates import aggregate_table

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, Computed(f"doc->>'{name}'", persisted=True))


def _fen(name: str) -> Column[int]:
    return Column(name, BigInteger, Computed(f"((doc->>'{name}')::bigint)", persisted=True))


def _list(name: str) -> Column[list[str]]:
    return Column(name, JSONB, Computed(f"doc->'{name}'", persisted=True))


# Days are ISO text (a cast to date is not immutable): they compare as text.
cases = aggregate_table(
    "cases", metadata,
    _text("status"), _text("deadline_on"), _text("lapses_on"), _text("legal_representative"),
    _list("affiliates"), _list("shareholders"),
)
Index("cases_status", cases.c.scheme, cases.c.status)
Index("cases_affiliates", cases.c.affiliates, postgresql_using="gin")
Index("cases_shareholders", cases.c.shareholders, postgresql_using="gin")

agreements = aggregate_table("agreements", metadata, _text("kind"), _text("valid_from"), _text("valid_to"))

quotas = aggregate_table(
    "high_quotas", metadata,
    Column("used", Integer, Computed("jsonb_array_length(doc->'enterprises')", persisted=True)),
)

loans = aggregate_table(
    "loans", metadata,
    _text("status"), _text("lender"), _text("payee"), _text("uscc"),
    Column("claimant", Text, Computed("doc->'claim'->>'claimant'", persisted=True)),
    _fen("outstanding_fen"), _fen("principal_fen"),
    CheckConstraint("outstanding_fen BETWEEN 0 AND principal_fen", name="loans_outstanding_within_principal"),
)
Index("loans_status", loans.c.scheme, loans.c.status)
Index("loans_uscc_once", loans.c.scheme, loans.c.uscc, unique=True)

batches = aggregate_table("batches", metadata, _text("status"))

subsidies = aggregate_table("subsidies", metadata, _text("status"), _text("loan_no"))
