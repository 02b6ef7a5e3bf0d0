"""The pool's postings, line by line, each with the event that caused it."""

from services.gateway.projections.tables import ledger_entries
from services.gateway.projections.writing import Projected
from shared.contracts.pool import PoolEvent


async def posted(at: Projected, event: PoolEvent) -> None:
    """The entries of one event (pool.ledger, 二(二)2)."""
    await at.insert(
        ledger_entries,
        [
            {
                "position": at.position,
                "line": line,
                "event_id": at.envelope.id,
                "cause": type(event).__name__,
                "about": event.about,
                "on": event.on,
                "account": entry.account,
                "amount_fen": entry.amount,
            }
            for line, entry in enumerate(event.entries)
        ],
    )
