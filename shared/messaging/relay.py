"""The relay: one leader a service publishes the outbox in order, and fills the bus again after a loss."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import asyncpg
from nats.js import JetStreamContext

from shared.messaging.envelope import HEADERS

log = logging.getLogger("riskpool.relay")
LEADER_KEY = 7001
BATCH = 500
POLL_SECONDS = 1.0
CHECK_SECONDS = 2.0

_UNPUBLISHED = (
    "select id, event_id, stream, subject, payload from outbox where published_at is null order by id limit $1"
)
_MARK = """update outbox o set published_at = clock_timestamp(), stream_seq = v.seq
           from unnest($1::bigint[], $2::bigint[]) v(id, seq) where o.id = v.id"""
_LOST = """update outbox set published_at = null, stream_seq = null where id in
           (select id from outbox where stream = $1 and published_at is not null and ($2 or stream_seq > $3))"""


class Relay:
    """Publishes what the outbox holds. ``dsn`` is the service's own database; ``streams`` names what it publishes to."""

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
                try:
                    await asyncio.wait_for(wake.wait(), POLL_SECONDS)
                except TimeoutError:
                    pass
                if connection.is_closed():
                    raise ConnectionError("the relay's database connection closed")

    async def _publish_some(self, connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(_UNPUBLISHED, BATCH)
        # gather() starts in list order and each writes before its first wait: wire order is outbox order.
        # publish(), not publish_async(): the latter never resolves on a server error (nats.py 985).
        results = await asyncio.gather(
            *(
                self._js.publish(
                    row["subject"],
                    row["payload"].encode(),
                    timeout=5,
                    headers={**HEADERS, "Nats-Msg-Id": row["event_id"], "Nats-Expected-Stream": row["stream"]},
                )
                for row in rows
            ),
            return_exceptions=True,
        )
        acked: list[tuple[int, int]] = []
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, BaseException):  # only the acked prefix is marked, so that order is kept
                log.warning("publishing waits", extra={"event_id": row["event_id"], "error": repr(result)[:200]})
                break
            acked.append((row["id"], result.seq))
        if acked:
            await connection.execute(_MARK, [i for i, _ in acked], [s for _, s in acked])
        if len(acked) < len(rows):
            await asyncio.sleep(0.2)
        return len(rows)

    async def _find_losses(self, connection: asyncpg.Connection) -> None:
        """A stream that is new, or shorter than what was published to it, is filled again from the outbox."""
        for stream in self._streams:
            created = await self._ensure(stream)
            last = (await self._js.stream_info(stream)).state.last_seq
            known = await connection.fetchval("select created from relayed_streams where stream = $1", stream)
            highest = await connection.fetchval("select max(stream_seq) from outbox where stream = $1", stream) or 0
            is_new = known is not None and known != created
            if is_new or last < highest:
                result = await connection.execute(_LOST, stream, is_new, last)
                log.warning("the bus forgot: publishing again", extra={"stream": stream, "rows": result})
            if known != created:
                await connection.execute(
                    "insert into relayed_streams values ($1, $2) on conflict (stream) do update set created = excluded.created",
                    stream,
                    created,
                )
