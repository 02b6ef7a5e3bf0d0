"""A history's file, read row by row: what is there, in order, with the lines that cannot be read named."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from riskpool.history.columns import COLUMNS, CONSENT, KINDS, Cells

Told = Callable[[int], None]
READ_AT_ONCE = 1 << 16


class Problem(NamedTuple):
    """A row that cannot be taken: its line, the rule that it breaks, and what is to be done."""

    line: int
    rule: str
    words: str


@dataclass(frozen=True)
class Fact:
    """One message's rows, of which all but an approval have one; ``line`` is the first."""

    line: int
    day: date
    kind: str
    rows: tuple[Cells, ...]


class File:
    """A CSV file in UTF-8; ``told`` hears of every so many bytes that were read, ``sha256`` is of all of them."""

    def __init__(self, path: Path, told: Told = lambda read: None) -> None:
        self._path, self._told = path, told
        self._digest = sha256()
        self._line = 0

    @property
    def sha256(self) -> bytes:
        """The hash of what was read."""
        return self._digest.digest()

    def facts(self) -> Iterator[Fact | Problem]:
        """Every row in order, approvals of one consent together; a problem in place of one that cannot be read."""
        group: Fact | None = None
        for one in self._rows():
            if group is not None and isinstance(one, Fact) and _consent(one) == _consent(group):
                group = Fact(group.line, group.day, group.kind, (*group.rows, *one.rows))
                continue
            if group is not None:
                yield group
            group = None
            if isinstance(one, Fact) and one.kind == "approval":
                group = one
            else:
                yield one
        if group is not None:
            yield group

    def _rows(self) -> Iterator[Fact | Problem]:
        reader, before = csv.reader(self._lines(), strict=True), date.min
        try:
            header = next(reader, [])
            if problem := _header_problem(header):
                yield problem
                return
            for cells in reader:
                if not any(cells):
                    continue
                read = _read(reader.line_num, header, [cell.strip() for cell in cells], before)
                before = read.day if isinstance(read, Fact) else before
                yield read
        except csv.Error as error:
            yield Problem(reader.line_num, "file", f"it is not CSV: {error}; save it again as CSV (UTF-8)")
        except UnicodeDecodeError:
            yield Problem(self._line, "file", "it is not UTF-8; save it again as CSV (UTF-8)")

    def _lines(self) -> Iterator[str]:
        read = 0
        with self._path.open("rb") as file:
            for self._line, line in enumerate(file, 1):
                self._digest.update(line)
                read += len(line)
                if read >= READ_AT_ONCE:
                    self._told(read)
                    read = 0
                yield line.decode("utf-8-sig" if self._line == 1 else "utf-8")
        self._told(read)


def _consent(fact: Fact) -> object:
    """What the approvals of one message have in common; never equal for other rows."""
    if fact.kind != "approval":
        return object()
    return fact.day, [fact.rows[0].get(column) for column in CONSENT]


def _header_problem(header: list[str]) -> Problem | None:
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) != len(header) or not {"date", "kind"} <= set(header):
        words = f"the first line names the columns, each once: date, kind and any of {', '.join(COLUMNS[2:])}"
        return Problem(1, "file", words + (f"; it also has {', '.join(map(repr, unknown))}" if unknown else ""))
    return None


def _read(line: int, header: list[str], cells: list[str], before: date) -> Fact | Problem:
    if len(cells) != len(header):
        return Problem(line, "file", f"it has {len(cells)} cells, the header has {len(header)}: count the commas")
    filled = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    kind = filled.pop("kind", "")
    if kind not in KINDS:
        return Problem(line, "kind", f"{kind!r} is no kind of row: use one of {', '.join(KINDS)}")
    try:
        day = date.fromisoformat(filled.pop("date", ""))
    except ValueError:
        return Problem(line, "date", "its date is not written YYYY-MM-DD")
    if day < before:
        return Problem(line, "date", f"it is of {day}, after a row of {before}: sort the rows by date")
    strange = [name for name in filled if name not in KINDS[kind].columns]
    if strange:
        return Problem(line, "columns", f"a row of kind {kind} says nothing by {', '.join(strange)}: leave it empty")
    return Fact(line, day, kind, (filled,))
