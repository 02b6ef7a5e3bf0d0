"""One stream a page: which topics have news, so that the page's sections ask for themselves again."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from services.gateway.api.events import HEARTBEAT_SECONDS
from services.gateway.auth.callers import Caller
from services.gateway.auth.sessions import is_signed_in
from services.gateway.console.shell import HEADERS, Shell
from services.gateway.queries.events import last_position
from services.gateway.tables import events

_BY_SERVICE = {
    "referral": ("cases", "worklist"),
    "review": ("cases", "loans", "claims", "worklist"),
    "pool": ("pool", "loans", "worklist"),
    "recovery": ("recoveries", "loans", "worklist"),
    "gateway": ("obligations", "worklist"),
}
_BY_TYPE = {
    "AgreementSigned": ("institutions",),
    "InstitutionSanctioned": ("institutions",),
    "ReportFiled": ("obligations",),
    "EnterpriseReferred": ("obligations",),
}
MANY = 500


def routes(shell: Shell) -> APIRouter:
    """``GET /live``: server-sent events whose data are topics only, never what happened."""
    router = APIRouter(include_in_schema=False)

    @router.get("/live")
    async def live(request: Request, caller: Caller = shell.signed_in) -> StreamingResponse:
        return StreamingResponse(
            _topics(shell, request, caller),
            media_type="text/event-stream",
            headers={**HEADERS, "X-Accel-Buffering": "no"},
        )

    return router


async def _topics(shell: Shell, request: Request, caller: Caller) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n: connected\n\n"
    engine, feed = shell.service.engine, shell.feed
    async with engine.connect() as connection:
        after = await last_position(connection)
    with feed.listening():
        while not feed.closing.event.is_set():
            query = select(events.c.position, events.c.service, events.c.type)
            query = query.where(events.c.scheme == caller.scheme.id, events.c.position > after)
            async with engine.connect() as connection:
                newest = await last_position(connection)
                found = (await connection.execute(query.order_by(events.c.position).limit(MANY))).all()
            topics = {topic for one in found for topic in _of(one.service, one.type)}
            if topics:
                yield f"event: news\ndata: {' '.join(sorted(topics))}\n\n".encode()
            after = found[-1].position if len(found) == MANY else max(after, newest)
            if len(found) == MANY or feed.position > newest:
                continue
            if not await feed.moved(HEARTBEAT_SECONDS):
                if not await is_signed_in(shell.service, request):
                    return
                yield b": heartbeat\n\n"


def _of(service: str, kind: str) -> tuple[str, ...]:
    return (*_BY_SERVICE.get(service, ()), *_BY_TYPE.get(kind, ()))
