"""The chain: every event carries the SHA-256 of the one before it in its scheme and of its own content."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

NOTHING = bytes(32)
"""What stands before the first."""


@dataclass(slots=True)
class Head:
    """Where one scheme stands in a service's database.

    ``written`` counts the statements that wrote it, and fences out a writer that does not know the newest. ``position``
    counts its events, ``sha256`` is the newest one's; ``rows`` and ``rows_sha256`` are the same of the pool's journal.
    """

    written: int = 0
    position: int = 0
    sha256: bytes = NOTHING
    rows: int = 0
    rows_sha256: bytes = NOTHING


def event_sha256(before: bytes, position: int, recorded_at: datetime, payload: str) -> bytes:
    """The SHA-256 of an event: its predecessor's, its place, when it was recorded, and its payload byte for byte."""
    return sha256(before + f"{position} {moment(recorded_at)} ".encode() + payload.encode()).digest()


@lru_cache(64)
def moment(at: datetime) -> str:
    """A moment as whole microseconds since 1970: the same whatever time zone it is read in."""
    return str(round(at.timestamp() * 1_000_000))
