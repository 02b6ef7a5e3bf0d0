"""A link between programs that can hang or be cut: a relay of bytes on a port of its own."""

import asyncio
import contextlib
from typing import Self


class Link:
    """Listens on a free port and passes everything on to ``port``, which may be changed while it runs."""

    def __init__(self, port: int = 0) -> None:
        self.target = port
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._is_cut = False
        self._ways: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._end_ways()

    @property
    def port(self) -> int:
        assert self._server is not None, "enter the link first"
        return int(self._server.sockets[0].getsockname()[1])

    async def hang(self, seconds: float) -> None:
        """Nothing passes for a while, and nobody is told."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def cut(self, seconds: float) -> None:
        """Every connection is lost, and new ones are for a while."""
        self._is_cut = True
        await self._end_ways()
        await asyncio.sleep(seconds)
        self._is_cut = False

    async def _end_ways(self) -> None:
        ways = list(self._ways)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ways.add(task)
        try:
            if not self._is_cut:
                await self._bridge(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the end of a connection is what this is for
        finally:
            self._ways.discard(task)
            writer.transport.abort()

    async def _bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        ways = [asyncio.create_task(self._pass(*way)) for way in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
