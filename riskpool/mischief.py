"""A TCP proxy before NATS that delivers twice and late: what a bus may do to a consumer, done on purpose.

It reads the client protocol from server to client. A JetStream delivery (its reply subject begins with ``$JS.ACK.``)
and a command request (subject ``commands.…``) may be written twice, and later than it came; deliveries of one lane keep
their order. A lane is one connection and one ``correlationid`` of the JSON payload, or the subject where there is none.
Everything else, pings, status messages, publish acknowledgements, answers of ``$JS.API``, passes at once and unchanged.
"""

import asyncio
import heapq
import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

log = logging.getLogger("riskpool.mischief")
_LINE_LIMIT = 1 << 20


@dataclass(frozen=True)
class Frame:
    """One message of the server: ``raw`` as it came; ``lane`` is empty for what passes at once."""

    raw: bytes
    lane: str = ""


class MischiefProxy:
    """Listens on a free port of this machine and stands before one NATS server.

    ``duplicate`` writes every delivery twice; ``shuffle`` (a seed) holds each back for up to ``max_delay`` seconds.
    ``counts`` says what was done, so that a run can tell mischief from its absence.
    """

    def __init__(
        self,
        upstream: str,
        *,
        duplicate: bool = True,
        shuffle: int | None = None,
        max_delay: float = 0.04,
        counts: dict[str, int] | None = None,
    ) -> None:
        address = urlsplit(upstream)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 4222
        self._duplicate = duplicate
        self._random = Random(shuffle) if shuffle is not None else None
        self._max_delay = max_delay
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.counts = {} if counts is None else counts
        self.counts |= {"passed": 0, "doubled": 0, "delayed": 0, "overtaken": 0}

    async def __aenter__(self) -> "MischiefProxy":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LINE_LIMIT)

    @property
    def url(self) -> str:
        """Where clients connect instead of the server."""
        assert self._server is not None, "start the proxy first"
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection and the listening port."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._bridge(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            log.debug("a connection ended")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port, limit=_LINE_LIMIT)
        outlet = _Outlet(writer, self.counts)
        ways = [
            asyncio.create_task(_copy(reader, server_writer)),
            asyncio.create_task(self._deliver(server_reader, outlet)),
            asyncio.create_task(outlet.run()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server_writer.close()

    async def _deliver(self, reader: asyncio.StreamReader, outlet: "_Outlet") -> None:
        while True:
            frame = await read_frame(reader)
            if frame is None:
                return
            if not frame.lane:
                self.counts["passed"] += 1
                await outlet.now(frame.raw)
                continue
            copies = 2 if self._duplicate else 1
            self.counts["doubled"] += copies - 1
            for _ in range(copies):
                outlet.later(frame, self._random.uniform(0, self._max_delay) if self._random else 0.0)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame from the server, None at the end of the connection."""
    line = await reader.readline()
    if not line:
        return None
    operation, *words = line.split()
    if operation not in (b"MSG", b"HMSG"):
        return Frame(line)
    sizes = 2 if operation == b"HMSG" else 1
    subject, reply = words[0].decode(), words[2].decode() if len(words) == 2 + sizes + 1 else ""
    body = await reader.readexactly(int(words[-1]) + 2)
    payload = body[int(words[-2]) if operation == b"HMSG" else 0 : -2]
    if payload and (reply.startswith("$JS.ACK.") or (reply and subject.startswith("commands."))):
        return Frame(line + body, lane_of(subject, payload))
    return Frame(line + body)


def lane_of(subject: str, payload: bytes) -> str:
    """The ``correlationid`` of a CloudEvent, or the subject of anything else."""
    try:
        event = json.loads(payload)
    except ValueError:
        return subject
    correlation = event.get("correlationid") if isinstance(event, dict) else None
    return correlation if isinstance(correlation, str) and correlation else subject


@dataclass
class _Outlet:
    """The way to one client: writes frames when they are due, each lane in order."""

    writer: asyncio.StreamWriter
    counts: dict[str, int]
    _due: list[tuple[float, int, Frame]] = field(default_factory=list)
    _lanes: dict[str, float] = field(default_factory=dict)
    _written: int = -1
    _number: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def now(self, raw: bytes) -> None:
        """Write at once."""
        self.writer.write(raw)
        await self.writer.drain()

    def later(self, frame: Frame, delay: float) -> None:
        """Write when the delay is over and everything before it in its lane is written."""
        now = asyncio.get_running_loop().time()
        due = max(now + delay, self._lanes.get(frame.lane, 0.0))
        self._lanes[frame.lane] = due
        self.counts["delayed"] += due > now
        self._number += 1
        heapq.heappush(self._due, (due, self._number, frame))
        self._wake.set()

    async def run(self) -> None:
        """Write every frame when it is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            while self._due and self._due[0][0] <= loop.time():
                _, number, frame = heapq.heappop(self._due)
                self.counts["overtaken"] += number < self._written
                self._written = max(self._written, number)
                await self.now(frame.raw)
            self._forget(loop.time())
            wait = self._due[0][0] - loop.time() if self._due else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def _forget(self, now: float) -> None:
        if len(self._lanes) > 1000:
            self._lanes = {lane: due for lane, due in self._lanes.items() if due > now}
