"""How fast an audit goes on this machine: chains and balances replayed from memory."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from hashlib import sha256
from itertools import count
from time import process_time

from riskpool.proof.chains import NOTHING, SHA256_BYTES, Events, Journal
from services.pool.policy import PoolPolicy
from services.pool.redecide import Redecision
from shared.clock import SHANGHAI
from shared.contracts.base import Event, made
from shared.contracts.pool import FundsBooked
from shared.messaging.envelope import new_id, type_of
from shared.scheme.loader import Scheme, load_scheme

AT_ONCE = 1000
EVENT_ID = b"01999999-9999-7999-8999-999999999999"
DAY = date(2026, 3, 2)
FEN = 1_234_500
_AT = 1_772_418_600_000_000


class Replay:
    """One scheme's chains and balances, from the lines of a bundle: what an audit does before it looks into events."""

    def __init__(self) -> None:
        self._sha256 = self._rows_sha256 = NOTHING
        self._moved_fen: dict[tuple[bytes, bytes, bytes], int] = {}

    def add(self, links: list[bytes], payloads: list[bytes], lines: list[bytes]) -> None:
        """Check the next lines of ``chain.txt``, ``events.jsonl`` and ``journal.tsv``; ValueError where one differs."""
        events, journal = Events.of_lines(links, payloads), Journal.of_lines(lines)
        if events.broken(self._sha256) or journal.broken(self._rows_sha256):
            raise ValueError("a row differs")
        self._sha256, self._rows_sha256 = events.digests[-SHA256_BYTES:], journal.digests[-SHA256_BYTES:]
        for place, fen in journal.moved_fen().items():
            self._moved_fen[place] = self._moved_fen.get(place, 0) + fen

    def balances_fen(self) -> dict[str, int]:
        """What each account stands at."""
        found: dict[str, int] = {}
        for (debit, credit, _), fen in self._moved_fen.items():
            found[debit.decode()] = found.get(debit.decode(), 0) + fen
            found[credit.decode()] = found.get(credit.decode(), 0) - fen
        return found


def replay_rate(events: int) -> float:
    """Synthetic events, each with a journal row, whose chains and balances one processor replays a second."""
    bookings = _bookings(load_scheme("yanqing"))
    payloads = [next(bookings) for _ in range(AT_ONCE)]
    replay, chain, seconds, events = Replay(), _Chain(), 0.0, max(events // AT_ONCE, 1) * AT_ONCE
    for _ in range(events // AT_ONCE):
        links, lines = chain.lines(payloads)
        began = process_time()  # only what an audit does is timed, not the making of the lines
        replay.add(links, payloads, lines)
        seconds += process_time() - began
    if replay.balances_fen() != {"cash": FEN * events, "other_funds": -FEN * events}:
        raise AssertionError("the balances are not what was booked")
    return events / seconds


class _Chain:
    """Makes the lines that a bundle would have."""

    def __init__(self) -> None:
        self._position = 0
        self._sha256 = self._rows_sha256 = NOTHING

    def lines(self, payloads: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The lines of ``chain.txt`` and ``journal.tsv`` for the next payloads, each a booking of ``FEN``."""
        links, rows = [], []
        for payload in payloads:
            self._position += 1
            prefix = b"%d %d " % (self._position, _AT + self._position)
            self._sha256 = sha256(self._sha256 + prefix + payload).digest()
            links.append(prefix + self._sha256.hex().encode())
            moment = _AT + self._position
            row = b"%d\t%b\tcash\tother_funds\t%d\t%b\t%d" % (
                self._position, EVENT_ID, FEN, str(DAY).encode(), moment
            )  # fmt: skip
            self._rows_sha256 = sha256(self._rows_sha256 + row.replace(b"\t", b"\0")).digest()
            rows.append(row + b"\t" + self._rows_sha256.hex().encode())
        return links, rows


def _bookings(scheme: Scheme) -> Iterator[bytes]:
    """Payloads of money received again and again, as the rules book it."""
    pool, policy = Redecision(), scheme.policy(PoolPolicy)
    now = datetime(DAY.year, DAY.month, DAY.day, 10, 30, tzinfo=SHANGHAI)
    for number in count(1):
        reference = f"R-{number:08d}"
        first = made(FundsBooked, purpose="other", amount=FEN, bank_ref=reference, received_on=DAY, on=DAY)  # type: ignore[call-arg]
        for event in pool.decide(first, policy, DAY):
            pool.fold(event)
            yield _recorded(event, scheme, now, reference)


def _recorded(event: Event, scheme: Scheme, now: datetime, message_id: str) -> bytes:
    name = type(event).__name__
    envelope = {
        "specversion": "1.0", "id": new_id(), "source": "/services/pool", "type": type_of(name),
        "subject": event.about or name, "time": now.isoformat(), "datacontenttype": "application/json",
        "scheme": scheme.id, "correlationid": message_id, "causationid": message_id, "schemeversion": scheme.version,
        "data": event.model_dump(mode="json"),
    }  # fmt: skip
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
