"""Working days, months, halves and quarters."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.calendar import WorkingDay, add_months, add_working_days, half_end, half_of, is_working_day, quarter_of


def test_holidays_are_off_and_the_weekends_worked_in_exchange_are_not() -> None:
    assert not is_working_day(date(2026, 2, 17))
    assert is_working_day(date(2025, 1, 26))
    assert not is_working_day(date(2026, 3, 1))
    assert is_working_day(date(2026, 3, 2))


def test_thirty_working_days_skip_the_holidays_of_an_announced_year() -> None:
    assert add_working_days(date(2026, 3, 17), 30) == WorkingDay(date(2026, 4, 29), provisional=False)


def test_a_deadline_that_counts_days_of_a_year_not_announced_is_provisional_and_skips_weekends_only() -> None:
    assert add_working_days(date(2090, 1, 2), 5) == WorkingDay(date(2090, 1, 9), provisional=True)
    assert is_working_day(date(2090, 1, 2))
    assert not is_working_day(date(2090, 1, 1))


def test_no_working_days_is_the_day_itself_and_days_are_not_counted_back() -> None:
    assert add_working_days(date(2026, 3, 1), 0) == WorkingDay(date(2026, 3, 1), provisional=False)
    with pytest.raises(ValueError, match="negative"):
        add_working_days(date(2026, 3, 1), -1)


@pytest.mark.parametrize(
    ("day", "n", "expected"),
    [(date(2026, 8, 31), 6, date(2027, 2, 28)), (date(2027, 8, 31), 6, date(2028, 2, 29)),
     (date(2026, 1, 15), 12, date(2027, 1, 15)), (date(2026, 1, 31), -2, date(2025, 11, 30)),
     (date(2026, 12, 1), 1, date(2027, 1, 1)), (date(2026, 3, 31), -24, date(2024, 3, 31))],
)
def test_months_end_on_the_last_day_when_the_month_is_shorter(day: date, n: int, expected: date) -> None:
    assert add_months(day, n) == expected


@given(st.dates(date(1900, 1, 1), date(2900, 1, 1)))
def test_a_day_lies_in_its_own_half_and_quarter(day: date) -> None:
    half = half_of(day)
    assert add_months(half_end(half), -6) < day <= half_end(half)
    assert quarter_of(day)[-1] in ("12" if half.endswith("1") else "34")


@pytest.mark.parametrize("half", ["2026", "2026H3", "H1", "26H1", "2026H", "abcdH1"])
def test_a_half_year_is_written_with_its_year_and_number(half: str) -> None:
    with pytest.raises(ValueError):
        half_end(half)
