"""The virus scanner clamd, where there is one: a file is streamed to it and it says what it found."""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 16
_SECONDS = 60.0


class ScannerAway(Exception):
    """No verdict: clamd is not reachable, busy, or said something else."""


@dataclass(frozen=True)
class Clamd:
    """``RISKPOOL_CLAMD``: ``host:port``, or the path of its socket."""

    address: str

    @classmethod
    def from_environment(cls) -> "Clamd | None":
        """The scanner that the environment names, or None."""
        address = os.environ.get("RISKPOOL_CLAMD", "")
        if address and not address.startswith("/") and not address.rpartition(":")[2].isdecimal():
            raise ValueError(f"RISKPOOL_CLAMD must be host:port or an absolute path, not {address!r}")
        return cls(address) if address else None

    async def scan(self, path: Path) -> str | None:
        """The name of the virus found, or None when it found none; ScannerAway without a verdict."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._instream(path)
        except (OSError, TimeoutError, EOFError) as error:
            raise ScannerAway(str(error)) from error

    async def _instream(self, path: Path) -> str | None:
        if self.address.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(self.address)
        else:
            host, _, port = self.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(b"zINSTREAM\0")
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    writer.write(len(chunk).to_bytes(4, "big") + chunk)
                    await writer.drain()
            writer.write(b"\0\0\0\0")
            await writer.drain()
            return _verdict((await reader.read(1000)).rstrip(b"\0\n").decode("utf-8", "replace"))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _verdict(said: str) -> str | None:
    """``stream: OK``, ``stream: Eicar-Test-Signature FOUND``; anything else is no verdict."""
    answer = said.partition(": ")[2]
    if answer == "OK":
        return None
    if answer.endswith(" FOUND"):
        return answer.removesuffix(" FOUND")
    raise ScannerAway(said[:200])
