"""eligible.size: the 2011 standard, its boundaries, and figures that are missing."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scheme.size import MissingFigure, UnknownIndustry, classify, load_standard

STANDARD = "miit-2011-300"
HERE = Path(__file__).parent
GIVEN = HERE.parents[2] / "shared" / "data"
CASES = list(csv.DictReader((HERE / "sme-size-cases.csv").read_text(encoding="utf-8").splitlines()))


def _fen(wan: str) -> int | None:
    return int(Decimal(wan) * 1_000_000) if wan else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()))
def test_every_labelled_case_has_its_class(case: dict[str, str]) -> None:
    employees = int(case["employees"]) if case["employees"] else None
    result = classify(STANDARD, case["industry"], employees, _fen(case["revenue_wan"]), _fen(case["assets_wan"]))
    assert result.size == case["class"]


@pytest.mark.skipif(not GIVEN.is_dir(), reason="the material given for the project is not beside the repository")
def test_the_standard_and_the_cases_are_the_ones_that_were_given() -> None:
    given = (GIVEN / "sme-size-cases.csv").read_text(encoding="utf-8")
    assert given == (HERE / "sme-size-cases.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader((GIVEN / "sme-size-standard.csv").read_text(encoding="utf-8").splitlines()))
    industries = load_standard(STANDARD).industries
    assert [row["key"] for row in rows] == list(industries)
    for row in rows:
        limits = industries[row["key"]].limits
        for indicator in ("employees", "revenue", "assets"):
            unit = 1 if indicator == "employees" else 1_000_000
            lines = [row[f"{indicator}_{size}"] for size in ("large", "medium", "small")]
            assert limits.get(indicator, ()) == tuple(int(line) * unit for line in lines if line)


def test_the_standard_names_itself_and_its_first_day() -> None:
    standard = load_standard(STANDARD)
    assert standard.effective_from == date(2011, 6, 18)
    assert "工信部联企业〔2011〕300号" in standard.title


@pytest.mark.parametrize(
    ("industry", "employees", "revenue", "assets", "missing"),
    [("industrial", None, 1, None, "employees"), ("industrial", 20, None, 1, "revenue"),
     ("construction", 9, 1, None, "assets"), ("agriculture", 9, None, 9, "revenue"),
     ("other", None, 1, 1, "employees")],
)
def test_a_needed_figure_that_is_missing_is_an_error_and_never_zero(
    industry: str, employees: int | None, revenue: int | None, assets: int | None, missing: str
) -> None:
    with pytest.raises(MissingFigure) as error:
        classify(STANDARD, industry, employees, revenue, assets)
    assert error.value.name == missing


def test_an_unknown_industry_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownIndustry, match="wholesale"):
        classify(STANDARD, "mining", 1, 1, 1)


def test_a_micro_firm_that_reaches_a_large_line_is_flagged() -> None:
    flagged = classify(STANDARD, "industrial", 19, 40_000_000_000, None)
    assert (flagged.size, flagged.micro_with_large_indicator) == ("micro", True)
    below = classify(STANDARD, "industrial", 19, 39_999_999_999, None)
    assert (below.size, below.micro_with_large_indicator) == ("micro", False)
    small = classify(STANDARD, "industrial", 20, 40_000_000_000, None)
    assert (small.size, small.micro_with_large_indicator) == ("small", False)


def test_the_figures_say_what_the_class_was_decided_on() -> None:
    assert classify(STANDARD, "industrial", 120, 3_600_000_000, 5).figures == {
        "size": "small", "industry": "industrial", "standard": STANDARD, "employees": "120", "revenue": "36000000.00"
    }


@given(industry=st.sampled_from(list(load_standard(STANDARD).industries)), employees=st.integers(0, 5000),
       revenue=st.integers(0, 10**12), assets=st.integers(0, 10**12), more=st.integers(0, 10**12))
def test_growing_never_makes_an_enterprise_smaller(
    industry: str, employees: int, revenue: int, assets: int, more: int
) -> None:
    order = ["micro", "small", "medium", "large"]
    before = order.index(classify(STANDARD, industry, employees, revenue, assets).size)
    for grown in ((employees + more, revenue, assets), (employees, revenue + more, assets),
                  (employees, revenue, assets + more)):
        assert order.index(classify(STANDARD, industry, *grown).size) >= before
