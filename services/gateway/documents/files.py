"""Files on disk under their SHA-256: written beside, synced, then renamed, so that a name always has whole content."""

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from shared.clock import Clock

_STALE_SECONDS = 86_400


class TooLarge(Exception):
    """More bytes came than the limit allows."""


@dataclass(frozen=True)
class Received:
    """A file that came in but is not kept yet."""

    path: Path
    sha256: str
    size_bytes: int

    def drop(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


class Files:
    """A directory of files named by their content; the same content is there once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def from_environment(cls) -> "Files":
        """In ``RISKPOOL_DOCUMENTS``, else in ``documents`` of the working directory."""
        return cls(Path(os.environ.get("RISKPOOL_DOCUMENTS") or "documents").absolute())

    @property
    def incoming(self) -> Path:
        """The room for files that are not kept yet; what a killed process left there is cleared after a day."""
        return self.directory / "incoming"

    def path(self, sha256: str) -> Path:
        """Where the content with that digest is, whether or not it is there."""
        return self.directory / sha256[:2] / sha256

    async def receive(self, chunks: AsyncIterator[bytes], limit_bytes: int) -> Received:
        """Write what comes to a file of its own, hashing on the way; TooLarge as soon as the limit is passed."""
        await asyncio.to_thread(_prepare, self.incoming)
        path = self.incoming / secrets.token_hex(16)
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("xb", buffering=0) as file:
                path.chmod(0o600)
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit_bytes:
                        raise TooLarge
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Received(path, digest.hexdigest(), size)

    async def keep(self, received: Received) -> None:
        """Put it under its digest, safe against a power cut when this returns."""
        await asyncio.to_thread(self._keep, received)

    def _keep(self, received: Received) -> None:
        target = self.path(received.sha256)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(received.path)
        received.path.replace(target)
        _sync(target.parent)
        _sync(self.directory)

    async def keep_bytes(self, content: bytes) -> str:
        """Keep content made here, such as a report; its digest."""

        async def once() -> AsyncIterator[bytes]:
            yield content

        received = await self.receive(once(), len(content))
        await self.keep(received)
        return received.sha256


def _prepare(incoming: Path) -> None:
    """Make the room, and clear what a process that was killed left there."""
    incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = Clock.now().timestamp()
    for left in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if now - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
