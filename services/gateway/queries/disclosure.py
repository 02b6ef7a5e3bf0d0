"""What a reader may see of an event: votes of an open ballot stay secret, and an institution sees its own part only."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import events

# After one of these, every vote cast before it may be read: all seats have voted, or the round is over.
DISCLOSES: Final = {
    "VoteCast": (
        "RatingRoundOpened",
        "RevoteOpened",
        "LeadDecisionRequired",
        "ConsentRequested",
        "EnterpriseRated",
        "EnterpriseDeclined",
        "EnterpriseVetoed",
        "CaseClosed",
    ),
    "ClaimVoteCast": ("ClaimRevoteOpened", "ClaimVerified", "ClaimRejected"),
}
_POOL_ONLY: Final = frozenset({"fund", "entries", "excluded"})


async def secret_votes(connection: AsyncConnection, rows: Iterable[Row[Any]], seat: str) -> frozenset[str]:
    """Ids of the votes among these events whose ballot is still open; a seat sees its own (panel.majority, 三(三))."""
    found: set[str] = set()
    cast = [row for row in rows if row.type in DISCLOSES and row.data.get("seat") != seat]
    for kind, closing in DISCLOSES.items():
        if votes := [row for row in cast if row.type == kind]:
            until = await _closed(connection, votes, closing)
            found |= {row.id for row in votes if row.position > until.get(row.subject, 0)}
    return frozenset(found)


async def _closed(
    connection: AsyncConnection, votes: Sequence[Row[Any]], closing: Collection[str]
) -> dict[str, int]:
    """Where the newest closed ballot of each enterprise ended; it has one loan, so at most one claim."""
    query = (
        select(events.c.subject, func.max(events.c.position).label("position"))
        .where(
            events.c.scheme == votes[0].scheme,
            events.c.about.overlap(sorted({row.subject for row in votes})),
            events.c.type.in_(closing),
        )
        .group_by(events.c.subject)
    )
    return {row.subject: row.position for row in await connection.execute(query)}


def disclosed(event: Row[Any], secret: Collection[str], party: str | None, uscc: str = "") -> dict[str, Any]:
    """An event's data as a reader may see it; ``party`` is an institution that reads one case (``uscc``), else None."""
    data: dict[str, Any] = event.data
    if event.id in secret:
        data = {**data, **dict.fromkeys({"grade", "opinion", "comment"} & data.keys())}
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
