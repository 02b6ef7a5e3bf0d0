"""What a report is before it is written to a file: plain text, typed tables, a chart, and sums that must agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

CellKind = Literal["text", "money", "count", "day", "ratio"]


@dataclass(frozen=True)
class Money:
    """An amount in fen as a cell."""

    fen: int


Cell = str | int | date | Decimal | Money | None
Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """A column; ``width`` is relative, about the number of Latin letters that should fit."""

    title: str
    kind: CellKind = "text"
    width: int = 12


@dataclass(frozen=True)
class Table:
    """A table; a wide one stands as an annex after the signature."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None = None
    annex: bool = True


@dataclass(frozen=True)
class Series:
    """A line through the last value of each day."""

    label: str
    points: tuple[tuple[date, int], ...]


@dataclass(frozen=True)
class Limit:
    """A level that one series (by its place) is judged by."""

    label: str
    fen: int
    judges: int


@dataclass(frozen=True)
class Curve:
    """Amounts over time between two dates, with the lines that they are judged by."""

    title: str
    begin: date
    end: date
    series: tuple[Series, ...]
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class Bars:
    """Amounts, or numbers of things, side by side; ``limit`` is what each should reach."""

    title: str
    bars: tuple[tuple[str, int], ...]
    kind: Literal["money", "count"] = "money"
    limit: tuple[str, int] | None = None


class Unreconciled(Exception):
    """A figure of a report is not what the ledger says: nothing is made of it."""


@dataclass(frozen=True)
class Check:
    """A figure made from the events' own facts beside the same figure made from the ledger's lines, in fen."""

    what: str
    figure_fen: int
    ledger_fen: int

    def __post_init__(self) -> None:
        if self.figure_fen != self.ledger_fen:
            raise Unreconciled(f"{self.what}: {self.figure_fen} fen in the report, {self.ledger_fen} in the ledger")


@dataclass(frozen=True)
class Source:
    """What a report was made from; with kind, period, organisation and language it makes the same bytes again."""

    scheme: str
    version: str
    ends_at: int
    last_event: str
    last_at: datetime


@dataclass(frozen=True)
class Report:
    """A finished report in one language, ready to be written."""

    name: str
    title: str
    office: str
    number: str
    addressee: str
    paragraphs: tuple[str, ...]
    closing: str
    tables: tuple[Table, ...]
    chart: Curve | Bars | None
    checks: tuple[Check, ...]
    signed_on: date
    source: Source

    @property
    def body(self) -> tuple[Table, ...]:
        """The tables that stand in the text."""
        return tuple(table for table in self.tables if not table.annex)

    @property
    def annexes(self) -> tuple[Table, ...]:
        """The tables that follow the signature."""
        return tuple(table for table in self.tables if table.annex)


def fen_of(cells: Iterable[Cell]) -> int:
    """The sum of the amounts among cells."""
    return sum(cell.fen for cell in cells if isinstance(cell, Money))


def with_total(
    title: str, columns: Sequence[Column], rows: Sequence[Row], label: str, *, annex: bool = True
) -> Table:
    """A table whose last row sums every money column; no such row when the table is empty."""
    sums: list[Cell] = [
        Money(fen_of(row[at] for row in rows)) if column.kind == "money" else None for at, column in enumerate(columns)
    ]
    sums[0] = label
    return Table(title, tuple(columns), tuple(rows), tuple(sums) if rows else None, annex)
