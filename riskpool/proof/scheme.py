"""One scheme's events in one service's books, read once and in order: chain, columns, versions, and what follows."""

from collections.abc import Callable, Collection, Sequence
from time import process_time
from typing import NamedTuple

from riskpool.proof.chains import NOTHING, Events, Journal, digest_of
from riskpool.proof.findings import Findings
from riskpool.proof.pool import PoolCheck
from riskpool.proof.recorded import Recorded, read, wrong_column
from riskpool.proof.versions import Versions
from shared.contracts.base import Event


class HeadRow(NamedTuple):
    """A row of ``schemes``: the version in force, and where the chains end."""

    version: str
    position: int
    sha256: bytes
    rows: int
    rows_sha256: bytes


class SchemeCheck:
    """Checks chunk by chunk; ``fold``, where given, is told of every event in order."""

    def __init__(
        self,
        findings: Findings,
        scheme: str,
        versions: Versions,
        pinned: Collection[str] = (),
        fold: Callable[[str, Event], None] | None = None,
    ) -> None:
        self.findings = findings
        self.scheme = scheme
        self.versions = versions
        self.fold = fold
        self.position, self.sha256, self.rows = 0, NOTHING, 0
        self.pool = PoolCheck(findings, scheme, pinned) if findings.service == "pool" else None

    def events(self, rows: Events) -> list[bytes]:
        """Check the next events; the journal rows that they must have written."""
        began = process_time()
        broken = set(rows.broken(self.sha256))
        chained = process_time()
        expected: list[bytes] = []
        for index in range(len(rows.payloads)):
            expected += self._event(rows, index, index in broken)
        self.findings.events += len(rows.payloads)
        self.findings.spend("chains", chained - began)
        self.findings.spend("events", process_time() - chained)
        return expected

    def _event(self, rows: Events, index: int, is_broken: bool) -> list[bytes]:
        columns, payload = rows.columns[index] if rows.columns else None, rows.payloads[index]
        number, moment = _numbers(rows.prefixes[index])
        before, self.sha256 = self.sha256, digest_of(rows, index)
        event_id, recorded, problem = columns[0] if columns else "", None, ""
        try:
            recorded = read(self.findings.service, payload)
            event_id = event_id or recorded.id
        except ValueError as error:
            problem = f"content: cannot be read: {str(error)[:300]!r}"
        position = self._place(number if number else self.position + 1, event_id)
        if recorded is not None:
            problem = wrong_column(self.findings.service, self.scheme, recorded, columns)
        if is_broken:
            broken = "is not that of the event before and of this one's position, recorded_at and content"
            self.findings.event(self.scheme, position, event_id, f"sha256: {broken}")
        if problem:
            self.findings.event(self.scheme, position, event_id, problem)
        if recorded is None:
            return []
        return self._follow(recorded, position, moment, payload, before)

    def _follow(
        self, recorded: Recorded[Event], position: int, at: bytes, payload: bytes, before: bytes
    ) -> list[bytes]:
        """What follows from an event under the rules of its day."""
        version = (self.scheme, recorded.schemeversion)
        if version not in self.versions:
            what = f"content: schemeversion {recorded.schemeversion!r} is not kept"
            self.findings.event(self.scheme, position, recorded.id, what)
        if self.fold:
            self.fold(self.scheme, recorded.data)
        if self.pool is None:
            return []
        return self.pool.event(recorded, position, at, payload, before, self.versions.get(version))

    def _place(self, position: int, event_id: str) -> int:
        """Positions go up by one."""
        self.position += 1
        if position != self.position:
            what = f"position: expected {self.position}: a row is missing, doubled or out of its place"
            self.findings.event(self.scheme, position, event_id, what)
            self.position = position
        return position

    def journal(self, expected: Sequence[bytes], rows: Journal) -> None:
        """Check the next rows of the journal against what the events say."""
        if self.pool is not None and (expected or rows.contents):
            began = process_time()
            self.pool.journal(expected, rows)
            self.rows += len(rows.contents)
            self.findings.spend("chains", process_time() - began)

    def finish(self, head: HeadRow | None) -> None:
        """All is read: the chains end where the scheme's row says."""
        if self.pool is not None:
            self.pool.finish()
        if head is None:
            self.findings.differ(f"schemes {self.scheme}: is missing")
            return
        rows_sha256 = self.pool.rows_sha256 if self.pool else NOTHING
        read: dict[str, object] = {
            "position": self.position, "sha256": self.sha256.hex(), "rows": self.rows, "rows_sha256": rows_sha256.hex()
        }
        for column, found in read.items():
            kept = getattr(head, column)
            kept = kept.hex() if isinstance(kept, bytes) else kept
            if kept != found:
                self.findings.differ(f"schemes {self.scheme}: {column}: is {kept}, the rows end at {found}")
        if (self.scheme, head.version) not in self.versions:
            self.findings.differ(f"schemes {self.scheme}: version: {head.version!r} is not kept")


def _numbers(prefix: bytes) -> tuple[int, bytes]:
    """Position and moment of an event; zero for what is no number, as its hash will tell."""
    number, moment, *_ = [*prefix.split(b" "), b"", b""]
    return int(number) if number.isdigit() else 0, moment if moment.isdigit() else b"0"
