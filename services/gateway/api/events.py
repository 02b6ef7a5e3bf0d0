"""Every service's events: as a paged list, and live as server-sent events on the same path."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.gateway.api.problems import malformed_field
from services.gateway.api.resources import Cursor, Filter, Limit, reading
from services.gateway.api.responses import PROBLEMS, answer
from services.gateway.api.shutdown import Closing
from services.gateway.auth.callers import Caller, bearer_of, caller_dependency
from services.gateway.auth.tokens import holder_of
from services.gateway.queries.events import event_list, last_position
from services.gateway.views import EventView, Page
from shared.messaging.service import Service

StillValid = Callable[[], Awaitable[bool]]
LARGEST = 2**63 - 1
POLL_SECONDS = 0.1
HEARTBEAT_SECONDS = 15.0
After = Annotated[
    int | None, Query(ge=0, le=LARGEST, description="Events after this position; live streams: from now on.")
]


class Feed:
    """Wakes every open stream when there is news: one query for all of them, none when nobody listens."""

    def __init__(self, service: Service, closing: Closing) -> None:
        self.service, self.closing = service, closing
        self.position = 0
        self._moved = asyncio.Event()
        self._listeners = 0

    @contextlib.contextmanager
    def listening(self) -> Any:
        """Count a stream in."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    async def watch(self) -> None:
        """Look for new events as long as the gateway runs."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._listeners:
                continue
            with contextlib.suppress(Exception):
                async with self.service.engine.connect() as connection:
                    newest = await last_position(connection)
                if newest != self.position:
                    self.position = newest
                    self._moved.set()
                    self._moved = asyncio.Event()

    async def moved(self, seconds: float) -> bool:
        """Wait for news, the end or the time given; False when only the time has passed."""
        moved = asyncio.create_task(self._moved.wait())
        closing = asyncio.create_task(self.closing.event.wait())
        done, waiting = await asyncio.wait((moved, closing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        return bool(done)


def event_routes(service: Service, feed: Feed) -> APIRouter:
    """``GET /events``: a list, or with ``Accept: text/event-stream`` a live stream."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["reading"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))
    streams: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}

    @router.get(
        "/events",
        response_model=Page[EventView],
        responses={**PROBLEMS, **streams},
        operation_id="listEvents",
        summary="Events of every service, oldest first; live with `Accept: text/event-stream`.",
        description="A stream's ids are positions: `Last-Event-ID` goes on after one; else it begins now. "
        "`VoteCast` is without `grade` and `comment` until every seat has voted or the round closes.",
    )
    async def list_events(
        request: Request,
        caller: Caller = caller_of,
        after: After = None,
        kind: Annotated[Filter, Query(alias="type")] = None,
        about: Filter = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        caller.needs_agency()
        name = _short(kind)
        if "text/event-stream" in request.headers.get("accept", ""):
            start = await _start(service, request, after)
            stream = live(feed, caller.scheme.id, start, name, about, _token_is_valid(service, bearer_of(request)))
            return StreamingResponse(
                stream, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            )
        async with reading(service) as connection:
            return answer(
                request,
                await event_list(
                    connection,
                    caller.scheme.id,
                    after=after or 0,
                    kind=name,
                    about=about,
                    limit=limit,
                    cursor=cursor,
                    seat=caller.organisation,
                ),
            )

    return router


def _short(kind: str | None) -> str | None:
    """An event's name, also when asked by its full type ``riskpool.EnterpriseRated.v1``."""
    parts = (kind or "").split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "riskpool" else kind


async def _start(service: Service, request: Request, after: int | None) -> int:
    last = request.headers.get("last-event-id")
    if last is not None:
        if not (last.isascii() and last.isdecimal()) or int(last[:20]) > LARGEST:
            raise malformed_field("Last-Event-ID", "must be the position of an event")
        return int(last)
    if after is not None:
        return after
    async with service.engine.connect() as connection:
        return await last_position(connection)


def _token_is_valid(service: Service, token: str) -> StillValid:
    async def still_valid() -> bool:
        async with service.engine.connect() as connection:
            return await holder_of(connection, token, service.clock.now()) is not None

    return still_valid


async def live(
    feed: Feed, scheme: str, after: int, kind: str | None, about: str | None, still_valid: StillValid
) -> AsyncIterator[bytes]:
    """Events as they come, a comment when none does; ends with the caller's right to read, the client or the server."""
    yield b"retry: 1000\n: connected\n\n"
    with feed.listening():
        while not feed.closing.event.is_set():
            async with feed.service.engine.connect() as connection:
                newest = await last_position(connection)
                page = await event_list(connection, scheme, after=after, kind=kind, about=about, limit=500, cursor=None)
            for event in page.items:
                yield f"id: {event.position}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
            after = page.items[-1].position if page.next_cursor else max(after, newest)
            if page.next_cursor or feed.position > newest:
                continue
            if not await feed.moved(HEARTBEAT_SECONDS):
                if not await still_valid():
                    return
                yield b": heartbeat\n\n"
