"""Periods of reports: a quarter, a half-year or a calendar year."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from typing import Literal

PeriodKind = Literal["quarter", "half", "year"]
_FORM = re.compile(r"(20[0-9]{2}|21[0-9]{2})(?:(H)([12])|(Q)([1-4]))?", re.ASCII)
_MONTHS = {"year": 12, "half": 6, "quarter": 3}


@dataclass(frozen=True)
class Period:
    """A period by its text: ``2026``, ``2026H1`` or ``2026Q3``."""

    text: str
    kind: PeriodKind
    year: int
    number: int

    @property
    def begin(self) -> date:
        """Its first day."""
        return date(self.year, (self.number - 1) * _MONTHS[self.kind] + 1, 1)

    @property
    def end(self) -> date:
        """Its last day."""
        month = self.number * _MONTHS[self.kind]
        return date(self.year, month, monthrange(self.year, month)[1])

    def __contains__(self, day: date) -> bool:
        return self.begin <= day <= self.end

    @property
    def months(self) -> tuple[date, ...]:
        """The last day of each of its months."""
        first = self.begin.month
        days = (monthrange(self.year, month) for month in range(first, first + _MONTHS[self.kind]))
        return tuple(date(self.year, first + at, last) for at, (_, last) in enumerate(days))


def parse_period(text: str) -> Period:
    """The period of a text; ValueError when it is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("a period is written 2026, 2026H1 or 2026Q1")
    year, _, half, _, quarter = found.groups()
    kind: PeriodKind = "half" if half else "quarter" if quarter else "year"
    return Period(text, kind, int(year), int(half or quarter or 1))
