"""Business days and periods: months, Chinese working days, halves and quarters of a calendar year."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta

import chinese_calendar

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class WorkingDay:
    """A deadline in working days; ``provisional`` when it counts days of a year not announced yet."""

    date: date
    provisional: bool


def _is_announced(day: date) -> bool:
    try:
        chinese_calendar.is_workday(day)
    except NotImplementedError:
        return False
    return True


def is_working_day(day: date) -> bool:
    """Whether offices work on that day; in a year not announced yet only Saturdays and Sundays are off."""
    if _is_announced(day):
        return bool(chinese_calendar.is_workday(day))
    return day.weekday() < 5


def add_working_days(day: date, n: int) -> WorkingDay:
    """The n-th working day after ``day`` (n ≥ 0; for 0 the day itself)."""
    if n < 0:
        raise ValueError("working days are counted forward: n must not be negative")
    left, provisional = n, False
    while left:
        day += _DAY
        provisional = provisional or not _is_announced(day)
        left -= is_working_day(day)
    return WorkingDay(day, provisional)


def add_months(day: date, n: int) -> date:
    """The same day n months on (back when negative), or the last day of that month when it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + n, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def half_of(day: date) -> str:
    """The half-year of a day, such as ``2026H1``."""
    return f"{day.year:04d}H{1 if day.month <= 6 else 2}"


def half_end(half: str) -> date:
    """The cut-off of a half-year: 30 June or 31 December (batch.half_year, 三(六))."""
    year, _, number = half.partition("H")
    if len(year) != 4 or number not in ("1", "2"):
        raise ValueError("a half-year is written 2026H1")
    return date(int(year), 6, 30) if number == "1" else date(int(year), 12, 31)


def quarter_of(day: date) -> str:
    """The quarter of a day, such as ``2026Q1``."""
    return f"{day.year:04d}Q{(day.month + 2) // 3}"
