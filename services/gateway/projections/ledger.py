"""The pool's postings, line by line, each with the event that caused it."""

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert

from services.gateway.projections.tables import ledger_entries
from services.gateway.projections.writing import Projected
from shared.contracts.pool import PoolEvent


async def posted(batch: Sequence[tuple[Projected, PoolEvent]]) -> None:
    """The entries of events (pool.ledger, 二(二)2)."""
    rows = [
        {
            "scheme": at.scheme,
            "position": at.position,
            "line": line,
            "event_id": at.envelope.id,
            "cause": type(event).__name__,
            "about": event.about,
            "on": event.on,
            "account": entry.account,
            "amount_fen": entry.amount,
        }
        for at, event in batch
        for line, entry in enumerate(event.entries)
    ]
    if rows:
        await batch[0][0].connection.execute(insert(ledger_entries).on_conflict_do_nothing(), rows)
