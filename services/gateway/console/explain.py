"""Why a decision is as it is: rule, clause in the source document, figures, scheme version, and what led to it."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.api.resources import reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.separation import party_to_case
from services.gateway.console.shell import Shell
from services.gateway.queries.disclosure import disclosed, secret_votes
from services.gateway.tables import events
from shared.scheme.clauses import cited

CHAIN = 50


def routes(shell: Shell) -> APIRouter:
    """``GET /why/{event_id}``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/why/{event_id:path}")
    async def why(request: Request, event_id: str, caller: Caller = shell.signed_in) -> Response:
        scheme = caller.scheme
        async with reading(shell.service) as connection:
            query = select(events).where(events.c.scheme == scheme.id, events.c.id == event_id)
            event = (await connection.execute(query)).first()
            if event is None or not await _may_see(connection, caller, event):
                raise Problem(404, "unknown", "event", {"id": event_id[:64]}, scheme=scheme)
            secret = await secret_votes(connection, [event], caller.organisation)
            chain = [one for one in await _led_to(connection, event) if await _may_see(connection, caller, one)]
        reasons = dict(event.why or {})
        clause = reasons.get("clause") or scheme.clause(reasons.get("rule", ""))
        return await shell.page(
            request,
            caller,
            "why.html",
            event=event,
            data=disclosed(event, secret, caller.party, event.subject),
            reasons=reasons,
            known=scheme.rules.get(reasons.get("rule", "")),
            clauses=cited(scheme.id, clause),
            settings=[one for one in scheme.settings.values() if clause and one.clause == clause],
            chain=chain,
        )

    return router


async def _may_see(connection: AsyncConnection, caller: Caller, event: Row[Any]) -> bool:
    """Agencies see every event, an institution those of its cases; pages link here only where that is so."""
    return await party_to_case(connection, caller, str(event.correlation_id or event.subject))


async def _led_to(connection: AsyncConnection, event: Row[Any]) -> Sequence[Row[Any]]:
    """The event's causes back to the first, and what followed from it, in order."""
    found: dict[str, Row[Any]] = {event.id: event}
    cause = event.causation_id
    while cause and cause not in found and len(found) < CHAIN:
        query = select(events).where(events.c.scheme == event.scheme, events.c.id == cause)
        before = (await connection.execute(query)).first()
        if before is None:
            break
        found[before.id], cause = before, before.causation_id
    same = events.c.causation_id.in_([one for one in (event.id, event.causation_id) if one])
    query = select(events).where(events.c.scheme == event.scheme, or_(same)).order_by(events.c.position).limit(CHAIN)
    found.update({row.id: row for row in await connection.execute(query)})
    return sorted(found.values(), key=lambda row: int(row.position))
