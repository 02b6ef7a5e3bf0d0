"""The pool's part of a proof: each event decided again, the journal that follows, and the closes."""

from collections import deque
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from hashlib import sha256

from riskpool.proof.chains import NOTHING, SHA256_BYTES, Journal
from riskpool.proof.findings import Findings
from riskpool.proof.recorded import Recorded, difference, is_same, read_whole
from services.pool.audit import accounts_of, differences_of
from services.pool.domain.close import Stand, half_before, halves
from services.pool.policy import PoolPolicy
from services.pool.redecide import Redecision, Undecidable
from services.pool.signing import is_signed
from shared.calendar import half_of
from shared.clock import business_date
from shared.contracts.base import Event
from shared.contracts.pool import BooksClosed
from shared.scheme.loader import Scheme, SchemeError

GRACE = timedelta(days=7)
"""How much later than its half-year a close may be made."""


class PoolCheck:
    """One scheme's events of the pool, decided again one after the other, with the journal beside them.

    ``pinned`` are public keys, in hexadecimal: every half-year that is over must have a close, signed with one of them;
    none takes the close's own.
    """

    def __init__(self, findings: Findings, scheme: str, pinned: Collection[str] = ()) -> None:
        self.findings = findings
        self.scheme = scheme
        self.pinned = pinned
        self.again = Redecision()
        self.rows_sha256 = NOTHING
        self._made, self._made_sha256 = 0, NOTHING
        self._expected: deque[Event] = deque()
        self._cause = self._broken = ""
        self._stand: Stand | None = None
        self._last: tuple[int, str] = (0, "")
        self._day = date.min

    def event(
        self, recorded: Recorded[Event], position: int, at: bytes, payload: bytes, before: bytes, rules: Scheme | None
    ) -> list[bytes]:
        """Decide an event again; the journal rows that it must have written, as they are hashed.

        ``at`` is when it was recorded, ``before`` the hash of the event before it.
        """
        self._last, self._day = (position, recorded.id), max(self._day, business_date(recorded.time))
        begins = recorded.causationid != self._cause
        if begins:
            self._ends()
            self._cause, self._stand = recorded.causationid, None
        happened: Event | None = None
        if isinstance(recorded.data, BooksClosed):
            happened = self._close(recorded.data, recorded, position, payload, before)
        elif begins or self._broken != self._cause:
            happened = self._decide(recorded, position, payload, rules)
        try:
            return self._rows_of(happened or read_whole(recorded, payload), recorded.id, at)
        except ValueError as error:
            self.findings.event(self.scheme, position, recorded.id, f"content: cannot be read: {str(error)[:300]!r}")
            return []

    def _decide(
        self, recorded: Recorded[Event], position: int, payload: bytes, rules: Scheme | None
    ) -> Event | None:
        """Compare an event with the next that its decision gives: that one, when they are the same to the byte.

        A decision that differs is not followed further.
        """
        self._broken = ""
        try:
            if not self._expected:
                if rules is None:
                    raise Undecidable("the rules of its day are not kept")
                policy, today = rules.policy(PoolPolicy), business_date(recorded.time)
                self._expected.extend(self.again.decide(recorded.data, policy, today))
            again = self._expected.popleft()
            self.findings.decided += 1
            if is_same(again, recorded, payload):
                return again
            what = difference(again, recorded, payload)
        except (Undecidable, SchemeError, AssertionError, ArithmeticError, ValueError, LookupError) as error:
            what = f"cannot be decided again: {error}"
        if what:
            self._expected.clear()
            self._broken = self._cause
            self.findings.event(self.scheme, position, recorded.id, f"content: {what}")
        return None

    def _ends(self) -> None:
        """The decision is over: nothing more may follow from it."""
        if self._expected:
            name = type(self._expected[0]).__name__
            self.findings.event(self.scheme, *self._last, f"content: the rules also give {name} after it")
            self._expected.clear()

    def _rows_of(self, event: Event, event_id: str, at: bytes) -> list[bytes]:
        rows = []
        for debit, credit, fen, day in self.again.fold(event):
            self._made += 1
            content = f"{self._made}\0{event_id}\0{debit}\0{credit}\0{fen}\0{day}\0".encode() + at
            self._made_sha256 = sha256(self._made_sha256 + content).digest()
            rows.append(content)
        return rows

    def _close(
        self, close: BooksClosed, recorded: Recorded[Event], position: int, payload: bytes, before: bytes
    ) -> Event:
        """A close must say what its half-year's events add up to, and be signed."""
        self.findings.closes += 1
        if self._stand is None:
            hashes = {"sha256": before.hex(), "rows_sha256": self._made_sha256.hex()}
            self._stand = Stand(position=position - 1, rows=self._made, **hashes)
        today = business_date(recorded.time)
        again = self.again.close(close, self._stand, self.scheme, recorded.schemeversion, today)
        what = difference(again, recorded, payload) or self._seal(close)
        if what:
            self.findings.event(self.scheme, position, recorded.id, f"close of {close.half}: {what}")
        return close

    def _seal(self, close: BooksClosed) -> str:
        if not close.signature and not self.pinned:
            self.findings.unsigned += 1
            return ""
        if self.pinned and close.public_key not in self.pinned:
            return f"public_key is {close.public_key!r}, expected {' or '.join(map(repr, self.pinned))}"
        valid = is_signed(close.digest, close.signature, close.public_key)
        return "" if valid else "signature is not that of its digest and key"

    def journal(self, expected: Sequence[bytes], rows: Journal) -> None:
        """Compare the next rows of the journal, and their chain, with what the events say."""
        broken, contents = set(rows.broken(self.rows_sha256)), rows.contents
        self.findings.entries += 2 * len(contents)
        for index in () if contents == expected and not broken else range(max(len(contents), len(expected))):
            seq = (contents[index] if index < len(contents) else expected[index]).split(b"\0", 1)[0]
            what = ""
            if index >= len(expected):
                what = "no event made it"
            elif index >= len(contents):
                what = f"is missing: {expected[index].replace(_NUL, b' ').decode()}"
            elif contents[index] != expected[index]:
                what = _column(contents[index], expected[index])
            elif index in broken:
                what = "sha256: is not that of the row before and its content"
            if what:
                self.findings.journal(self.scheme, seq.decode(errors="replace"), what)
        if contents:
            self.rows_sha256 = rows.digests[-SHA256_BYTES:]

    def finish(self) -> None:
        """All events are read: what they add up to in accounts is what the fund says of itself."""
        self._ends()
        fund = self.again.fund
        if fund is not None:
            for words in differences_of("account", self.again.balances_fen(), accounts_of(fund)):
                self.findings.differ(f"fund {self.scheme}: {words}")
        moved = [day for _, day in self.again.days]
        over = halves(half_of(min(moved)), half_before(self._day - GRACE)) if moved and self.pinned else ()
        for half in over:
            if ("close", half) not in self.again.states:
                self.findings.differ(f"fund {self.scheme}: close of {half}: is missing")


_NUL = b"\0"
_COLUMNS = ("seq", "event_id", "debit", "credit", "amount_fen", "effective_on", "recorded_at")


def _column(stored: bytes, expected: bytes) -> str:
    parts = zip(_COLUMNS, stored.split(_NUL), expected.split(_NUL), strict=False)
    for column, kept, said in parts:
        if kept != said:
            return f"{column}: is {kept.decode(errors='replace')!r}, the events say {said.decode()!r}"
    return "content: is not what the events say"
