"""Where the referral service keeps the fold of its own events."""

from sqlalchemy import CheckConstraint, Column, Computed, Index, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared.aggregates import aggregate_table

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, Computed(f"doc->>'{name}'", persisted=True))


def _list(name: str) -> Column[list[str]]:
    return Column(name, JSONB, Computed(f"doc->'{name}'", persisted=True))


# Days are ISO text (a cast to date is not immutable): they compare as text.
cases = aggregate_table(
    "cases", metadata,
    _text("status"), _text("recommender"), _list("parties"), _list("loan_nos"),
    CheckConstraint("status <> 'financed' OR jsonb_array_length(loan_nos) > 0", name="cases_financed_by_a_loan"),
)
Index("cases_status", cases.c.scheme, cases.c.status)
Index("cases_parties", cases.c.parties, postgresql_using="gin")

bars = aggregate_table("bars", metadata, _text("barred_on"), _text("until"))

department_years = aggregate_table("department_years", metadata, _text("department"))
