"""The relay: one leader a service publishes the outbox in order, and fills the bus again after a loss.

A stream that the bus forgot is filled row by row from the first id up to the last that there was when the loss was
found. How far that is, is kept in `relayed_streams` and goes on from there after a crash; what is newer waits for it.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from shared.messaging.envelope import HEADERS, TURN
from shared.observability import traces

log = logging.getLogger("riskpool.relay")
LEADER_KEY = 7001
BATCH = 500
SPAN = 20_000  # ids looked through at once for rows of a stream that is filled again
POLL_SECONDS = 1.0
CHECK_SECONDS = 2.0
PUBLISH_SECONDS = 5.0

_ROW = "select id, event_id, stream, subject, payload, position from outbox"
_UNPUBLISHED = f"{_ROW} where published_at is null and stream <> all($2) order by id limit $1"
_MARK = """update outbox o set published_at = coalesce(o.published_at, clock_timestamp()), stream_seq = v.seq
           from unnest($1::bigint[], $2::bigint[]) v(id, seq) where o.id = v.id"""
# Of a stream that is filled again, places above `again_top` are those of rows not yet sent again: of the lost stream.
_TOP = """select event_id, stream_seq from outbox where id = (
              select case when again_from is not null then again_top else (
                  select id from outbox where stream = $1 and stream_seq is not null order by stream_seq desc limit 1
              ) end from relayed_streams where stream = $1)"""
_MADE = """insert into relayed_streams (stream, created) values ($1, $2)
           on conflict (stream) do update set created = excluded.created"""
_BEGIN_AGAIN = """update relayed_streams
                  set again_from = 0, again_top = null, again_through = (select max(id) from outbox)
                  where stream = $1 and exists (select from outbox where stream = $1 and stream_seq is not null)"""
_AGAIN = """select r.stream, again_from, again_through, again_top, coalesce(o.stream_seq, 0) as top_seq
            from relayed_streams r left join outbox o on o.id = again_top where again_from is not null"""
_AGAIN_NEXT = f"{_ROW} where stream = $1 and id > $2 and id <= $3 order by id limit $4"
_AGAIN_DONE_TO = "update relayed_streams set again_from = $2, again_top = $3 where stream = $1"
_AGAIN_DONE = "update relayed_streams set again_from = null, again_through = null, again_top = null where stream = $1"


class Relay:
    """Publishes what the outbox holds; ``dsn`` is the service's own database, ``streams`` what it publishes to."""

    def __init__(
        self, dsn: str, js: JetStreamContext, ensure: Callable[[str], Awaitable[str]], streams: tuple[str, ...]
    ):
        self._dsn, self._js, self._ensure, self._streams = dsn, js, ensure, streams
        self.leading = False

    async def run(self) -> None:
        """Lead when nobody else does, for ever; ends only by cancellation."""
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await asyncpg.connect(self._dsn, timeout=3, command_timeout=30)
                await self._lead(connection)
            except Exception as error:
                log.warning("relay interrupted", extra={"error": repr(error)[:300]})
                await asyncio.sleep(0.3)
            finally:
                self.leading = False
                if connection is not None:
                    connection.terminate()

    async def _lead(self, connection: asyncpg.Connection) -> None:
        while not await connection.fetchval("select pg_try_advisory_lock($1)", LEADER_KEY):
            await asyncio.sleep(1)
        self.leading = True
        wake = asyncio.Event()
        await connection.add_listener("outbox", lambda *_: wake.set())
        loop = asyncio.get_running_loop()
        checked = 0.0
        while True:
            wake.clear()
            if loop.time() - checked > CHECK_SECONDS:
                await self._find_losses(connection)
                checked = loop.time()
            if await self._publish_some(connection) == 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await wake.wait()
                if connection.is_closed():
                    raise ConnectionError("the relay's database connection closed")

    async def _publish_some(self, connection: asyncpg.Connection) -> int:
        """One batch of each stream that is filled again, and one of what is new in the others; how much there was."""
        again = await connection.fetch(_AGAIN)
        for stream in again:
            await self._publish_again(connection, stream)
        rows = await connection.fetch(_UNPUBLISHED, BATCH, [one["stream"] for one in again])
        await self._publish(connection, rows)
        return len(again) + len(rows)

    async def _publish_again(self, connection: asyncpg.Connection, stream: asyncpg.Record) -> None:
        """The next batch of a stream that the bus forgot, and how far it has come."""
        name, begin, through = stream["stream"], stream["again_from"], stream["again_through"]
        end = min(begin + SPAN, through)
        rows = await connection.fetch(_AGAIN_NEXT, name, begin, end, BATCH)
        acked = await self._publish(connection, rows)
        if acked is None:  # forgotten once more: it begins anew
            return
        if len(acked) < len(rows) or len(rows) == BATCH:
            end = acked[-1][0] if acked else begin
        if end == through:
            await connection.execute(_AGAIN_DONE, name)
            log.warning("the stream is filled again", extra={"stream": name})
            return
        seq, top = max(((seq, row) for row, seq in acked), default=(0, None))
        await connection.execute(_AGAIN_DONE_TO, name, end, top if seq > stream["top_seq"] else stream["again_top"])

    async def _publish(
        self, connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]
    ) -> list[tuple[int, int]] | None:
        """Publish and mark; the ids and places of those that were stored, None when the bus forgot meanwhile."""
        acked = await self._sent(rows)
        for stream in {row["stream"] for row in rows[: len(acked)]}:
            if await self._is_shorter(connection, stream):  # asked before marking: what is marked hides the old end
                await self._begin_again(connection, stream)
                await asyncio.sleep(1)
                return None
        if acked:
            await connection.execute(_MARK, [i for i, _ in acked], [s for _, s in acked])
        if len(acked) < len(rows):
            await asyncio.sleep(0.2)
        return acked

    async def _sent(self, rows: Sequence[asyncpg.Record]) -> list[tuple[int, int]]:
        """Of rows that are sent together, the ids and places of the first that were stored up to one that was not."""
        spans = [_span(row) for row in rows] if traces.on() else None
        # gather() starts in list order and each writes before its first wait: wire order is outbox order.
        # publish(), not publish_async(): the latter never resolves on a server error (nats.py 985).
        results = await asyncio.gather(
            *(
                self._js.publish(
                    row["subject"],
                    row["payload"].encode(),
                    timeout=PUBLISH_SECONDS,
                    headers=_headers(row) | ({traces.HEADER: spans[place].traceparent} if spans else {}),
                )
                for place, row in enumerate(rows)
            ),
            return_exceptions=True,
        )
        for span, result in zip(spans or (), results, strict=False):
            span.end(repr(result) if isinstance(result, BaseException) else "")
        acked: list[tuple[int, int]] = []
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, BaseException):  # only the acked prefix is marked, so that order is kept
                log.warning("publishing waits", extra={"event_id": row["event_id"], "error": repr(result)[:200]})
                break
            acked.append((row["id"], result.seq))
        return acked

    async def _find_losses(self, connection: asyncpg.Connection) -> None:
        """A stream that is new, or no longer holds the last thing published to it, is filled again from the outbox."""
        for stream in self._streams:
            created = await self._ensure(stream)
            known = await connection.fetchval("select created from relayed_streams where stream = $1", stream)
            is_new = known is not None and known != created
            is_lost = is_new or await self._is_shorter(connection, stream)
            async with connection.transaction():
                if is_lost:
                    await self._begin_again(connection, stream)
                if known != created:
                    await connection.execute(_MADE, stream, created)

    async def _is_shorter(self, connection: asyncpg.Connection, stream: str) -> bool:
        """Whether our last message is gone from its place; the length says nothing, for others publish there too."""
        top = await connection.fetchrow(_TOP, stream)
        if top is None:
            return False
        try:
            message = await self._js.get_msg(stream, top["stream_seq"])
        except NotFoundError:
            return True
        return bool((message.headers or {}).get("Nats-Msg-Id") != top["event_id"])

    async def _begin_again(self, connection: asyncpg.Connection, stream: str) -> None:
        """Fill a stream again from its first row, however far that had come before."""
        await connection.execute(_BEGIN_AGAIN, stream)
        log.warning("the bus forgot: publishing again", extra={"stream": stream})


def _headers(row: asyncpg.Record) -> dict[str, str]:
    turn = {TURN: str(row["position"])} if row["position"] else {}
    return {**HEADERS, "Nats-Msg-Id": row["event_id"], "Nats-Expected-Stream": row["stream"], **turn}


def _span(row: asyncpg.Record) -> traces.Span:
    """The way of one message to the bus, under the decision that it followed from."""
    envelope = json.loads(row["payload"])
    return traces.begin(
        f"publish {row['subject'].rsplit('.', 1)[1]}",
        "producer",
        envelope.get(traces.HEADER),
        messaging__system="nats",
        messaging__destination__name=row["subject"],
        messaging__message__id=row["event_id"],
        messaging__message__conversation_id=envelope.get("correlationid", ""),
        riskpool__scheme=envelope.get("scheme", ""),
    )
