"""A posting as rows of the journal, and the chain of their hashes; no database is needed to work them out."""

from collections.abc import Sequence
from datetime import date, datetime
from hashlib import sha256

from shared.contracts.pool import Entry
from shared.messaging.chain import moment


def pairs(entries: Sequence[Entry]) -> list[tuple[str, str, int]]:
    """A posting as (debit, credit, amount in fen): each debit is met by the credits in their order."""
    found: list[tuple[str, str, int]] = []
    credits = [(entry.account, -entry.amount) for entry in entries if entry.amount < 0]
    credit, left = "", 0
    for entry in entries:
        owed = entry.amount
        while owed > 0:
            if not left:
                credit, left = credits.pop(0)
            part = min(owed, left)
            found.append((entry.account, credit, part))
            owed, left = owed - part, left - part
    return found


def journal_sha256(
    before: bytes, seq: int, event_id: str, debit: str, credit: str, amount_fen: int, day: date, recorded_at: datetime
) -> bytes:
    """The SHA-256 of a row: its predecessor's and its own content; no text holds a NUL, so the parts stay apart."""
    content = f"{seq}\0{event_id}\0{debit}\0{credit}\0{amount_fen}\0{day}\0{moment(recorded_at)}"
    return sha256(before + content.encode()).digest()
