"""What a reader may see of an event: votes of an open ballot stay secret, and an institution sees its own part only."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import events

# After one of these, every vote cast before it may be read: all seats have voted, or the round is over.
DISCLOSES: Final = (
    "RatingRoundOpened",
    "RevoteOpened",
    "LeadDecisionRequired",
    "ConsentRequested",
    "EnterpriseRated",
    "EnterpriseDeclined",
    "EnterpriseVetoed",
    "CaseClosed",
)
_POOL_ONLY: Final = frozenset({"fund", "entries", "excluded"})


async def secret_votes(connection: AsyncConnection, rows: Iterable[Row[Any]], seat: str) -> frozenset[str]:
    """Ids of the votes among these events whose ballot is still open; a seat sees its own (panel.majority, 三(三))."""
    votes = [row for row in rows if row.type == "VoteCast" and row.data.get("seat") != seat]
    if not votes:
        return frozenset()
    closed = (
        select(events.c.subject, func.max(events.c.position).label("position"))
        .where(
            events.c.scheme == votes[0].scheme,
            events.c.about.overlap(sorted({row.subject for row in votes})),
            events.c.type.in_(DISCLOSES),
        )
        .group_by(events.c.subject)
    )
    until = {row.subject: row.position for row in await connection.execute(closed)}
    return frozenset(row.id for row in votes if row.position > until.get(row.subject, 0))


def disclosed(event: Row[Any], secret: Collection[str], party: str | None, uscc: str = "") -> dict[str, Any]:
    """An event's data as a reader may see it; ``party`` is an institution that reads one case (``uscc``), else None."""
    data: dict[str, Any] = event.data
    if event.id in secret:
        data = {**data, "grade": None, "comment": None}
    if party is None:
        return data
    kept = {name: value for name, value in data.items() if name not in _POOL_ONLY}
    shown: dict[str, Any] = masked(_own_part(event.type, kept, party, uscc))
    return shown


def _own_part(kind: str, data: dict[str, Any], party: str, uscc: str) -> dict[str, Any]:
    """Without other enterprises' payouts, other institutions' terms and answers, and what a claimant says of others."""
    if "items" in data:
        data["items"] = [one for one in data["items"] if one.get("uscc") == uscc]
    if "preference" in data:
        data["preference"] = [one for one in data["preference"] if one.get("institution") == party]
    if kind == "FinancingRefused" and data.get("institution") != party:
        data["reason"] = None
    if kind == "ClaimAccepted" and data.get("claimant") != party:
        data.pop("recovery_statements", None)
    return data


def masked(value: Any) -> Any:
    """A copy in which persons' identity numbers show their last four characters only."""
    if isinstance(value, list):
        return [masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    person = isinstance(value.get("id"), str) and "name" in value
    return {
        key: "*" * (len(item) - 4) + item[-4:] if person and key == "id" else masked(item)
        for key, item in value.items()
    }
