"""The relay: one leader a service publishes the outbox in order, and fills the bus again after a loss."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable

import asyncpg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from shared.messaging.envelope import HEADERS, TURN
from shared.observability import traces

log = logging.getLogger("riskpool.relay")
LEADER_KEY = 7001
BATCH = 500
POLL_SECONDS = 1.0
CHECK_SECONDS = 2.0
PUBLISH_SECONDS = 5.0

_UNPUBLISHED = """select id, event_id, stream, subject, payload, position from outbox
                  where published_at is null order by id limit $1"""
_MARK = """update outbox o set published_at = clock_timestamp(), stream_seq = v.seq
           from unnest($1::bigint[], $2::bigint[]) v(id, seq) where o.id = v.id"""
_TOP = """select event_id, stream_seq from outbox where stream = $1 and stream_seq is not null
          order by stream_seq desc limit 1"""
_ALL_AGAIN = "update outbox set published_at = null, stream_seq = null where stream = $1 and published_at is not null"


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
                    await asyncio.wait_for(wake.wait(), POLL_SECONDS)
                if connection.is_closed():
                    raise ConnectionError("the relay's database connection closed")

    async def _publish_some(self, connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(_UNPUBLISHED, BATCH)
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
        for stream in {row["stream"] for row in rows[: len(acked)]}:
            if await self._is_shorter(connection, stream):  # asked before marking: what is marked hides the old end
                await self._publish_all_again(connection, stream)
                await asyncio.sleep(1)
                return len(rows)
        if acked:
            await connection.execute(_MARK, [i for i, _ in acked], [s for _, s in acked])
        if len(acked) < len(rows):
            await asyncio.sleep(0.2)
        return len(rows)

    async def _find_losses(self, connection: asyncpg.Connection) -> None:
        """A stream that is new, or no longer holds the last thing published to it, is filled again from the outbox."""
        for stream in self._streams:
            created = await self._ensure(stream)
            known = await connection.fetchval("select created from relayed_streams where stream = $1", stream)
            is_new = known is not None and known != created
            if is_new or await self._is_shorter(connection, stream):
                await self._publish_all_again(connection, stream)
            if known != created:
                await connection.execute(
                    "insert into relayed_streams values ($1, $2) on conflict (stream) do update set created = $2",
                    stream,
                    created,
                )

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

    async def _publish_all_again(self, connection: asyncpg.Connection, stream: str) -> None:
        result = await connection.execute(_ALL_AGAIN, stream)
        log.warning("the bus forgot: publishing again", extra={"stream": stream, "rows": result})


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
