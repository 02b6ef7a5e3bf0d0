"""Where the recovery service keeps the fold of its own events, and the money rules that the database checks again."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, MetaData, Text

from shared.aggregates import aggregate_table

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, Text, Computed(f"doc->>'{name}'", persisted=True))


def _fen(name: str) -> Column[int]:
    return Column(name, BigInteger, Computed(f"((doc->>'{name}')::bigint)", persisted=True))


# Days are ISO text (a cast to date is not immutable): they compare as text.
recoveries = aggregate_table(
    "recoveries", metadata,
    _text("status"), _text("payee"), _text("next_due_on"),
    _fen("verified_fen"), _fen("paid_fen"), _fen("collected_fen"), _fen("pool_share_fen"),
    _fen("institution_share_fen"), _fen("remitted_fen"), _fen("returned_fen"), _fen("written_off_fen"),
    CheckConstraint("paid_fen <= verified_fen", name="recoveries_paid_within_verified"),
    CheckConstraint("pool_share_fen >= 0 AND pool_share_fen <= paid_fen", name="recoveries_share_within_paid"),
    CheckConstraint("institution_share_fen >= 0", name="recoveries_institution_share"),
    CheckConstraint("pool_share_fen + institution_share_fen = collected_fen", name="recoveries_shares_add_up"),
    CheckConstraint("remitted_fen >= 0 AND returned_fen >= 0", name="recoveries_remitted"),
    CheckConstraint("written_off_fen >= 0 AND written_off_fen <= paid_fen", name="recoveries_written_off_within_paid"),
)
Index("recoveries_next_due_on", recoveries.c.scheme, recoveries.c.next_due_on)

reports = aggregate_table("reports", metadata)
