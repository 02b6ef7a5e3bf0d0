"""The close of a half-year: the books as they stood, in one digest that can be signed and kept elsewhere."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from shared.calendar import half_end, half_of
from shared.contracts.base import Event, Shape, made
from shared.contracts.pool import Balance, BooksClosed

SEAL = frozenset({"why", "digest", "signature", "public_key"})
"""The fields of a close that its digest does not cover."""
_DAY = timedelta(days=1)


class Close(Shape):
    """What is kept of a close: enough to know that it was made, and to chain the next one to it."""

    half: str
    digest: str


class Stand(Shape):
    """Where a scheme's two chains stand; hashes are hexadecimal."""

    position: int
    sha256: str
    rows: int
    rows_sha256: str


Sign = Callable[[str], tuple[str, str]]
"""A digest's signature and the public key; both empty without a key."""


def close_keys(event: Event) -> tuple[str, ...]:
    """The half-year that an event closes."""
    return (event.half,) if isinstance(event, BooksClosed) else ()


def evolve_close(close: Close | None, event: Event) -> Close | None:
    """A close after an event."""
    return made(Close, half=event.half, digest=event.digest) if isinstance(event, BooksClosed) else close


def half_before(day: date) -> str:
    """The last half-year that was over when a day began."""
    return half_of(date(day.year, 1 if day.month <= 6 else 7, 1) - _DAY)


def halves(first: str, last: str) -> list[str]:
    """All half-years from one to another."""
    found = []
    while first <= last:
        found.append(first)
        first = half_of(half_end(first) + _DAY)
    return found


def close_books(
    scheme: str,
    scheme_version: str,
    half: str,
    stand: Stand,
    balances_fen: Mapping[str, int],
    previous: str,
    today: date,
    sign: Sign,
) -> BooksClosed:
    """Seal a half-year that is over (pool.ledger): ``balances_fen`` are by effective date to its end."""
    content = made(
        BooksClosed, scheme=scheme, scheme_version=scheme_version, half=half, until=half_end(half), closed_on=today,
        position=stand.position, sha256=stand.sha256, rows=stand.rows, rows_sha256=stand.rows_sha256,
        balances=tuple(made(Balance, account=a, amount=fen) for a, fen in sorted(balances_fen.items()) if fen),
        previous=previous, digest="",
    )
    digest = digest_of(content)
    signature, public_key = sign(digest)
    return content.but(digest=digest, signature=signature, public_key=public_key)


def digest_of(close: BooksClosed) -> str:
    """The SHA-256, in hexadecimal, of a close's canonical JSON: keys sorted, no spaces, its seal left out."""
    content = close.model_dump(mode="json", exclude=set(SEAL))
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
