"""The size of an enterprise under a versioned size standard (eligible.size, 二(一); 工信部联企业〔2011〕300号)."""

import csv
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from shared.money import format_yuan

Size = Literal["large", "medium", "small", "micro"]
DIRECTORY = Path(__file__).parent / "size_standards"
_INDICATORS = ("employees", "revenue", "assets")
_CLASSES: tuple[Size, ...] = ("large", "medium", "small")
_FEN_PER_WAN = 1_000_000


class MissingFigure(ValueError):
    """A figure that the industry's standard needs was not given: an error, never zero."""

    def __init__(self, name: str, industry: str = "") -> None:
        super().__init__(f"the figure {name} is missing: the size standard needs it for the industry {industry}")
        self.name = name


class UnknownIndustry(ValueError):
    """The industry key is not one of the size standard's."""

    def __init__(self, industry: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(f"unknown industry {industry!r}: use one of {', '.join(known)}")
        self.industry = industry


@dataclass(frozen=True)
class Industry:
    """Lower limits of an industry: indicator -> (large, medium, small) in persons or fen; unused ones are absent."""

    key: str
    name: str
    limits: dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class SizeStandard:
    """A size standard and the day from which it holds."""

    id: str
    title: str
    effective_from: date
    industries: dict[str, Industry]


@dataclass(frozen=True)
class SizeResult:
    """The class, whether a micro firm reaches a large line, and the figures the class was decided on."""

    size: Size
    micro_with_large_indicator: bool
    figures: dict[str, str]


def _limit(text: str, indicator: str) -> int:
    factor = 1 if indicator == "employees" else _FEN_PER_WAN
    return int(Decimal(text) * factor)


def _industry(row: dict[str, str]) -> Industry:
    limits = {
        indicator: (
            _limit(row[f"{indicator}_large"], indicator),
            _limit(row[f"{indicator}_medium"], indicator),
            _limit(row[f"{indicator}_small"], indicator),
        )
        for indicator in _INDICATORS
        if row[f"{indicator}_large"]
    }
    return Industry(row["key"], row["industry_zh"], limits)


@cache
def load_standard(standard: str) -> SizeStandard:
    """The shipped standard of that id, such as ``miit-2011-300``; FileNotFoundError when there is none."""
    lines = (DIRECTORY / f"{standard}.csv").read_text(encoding="utf-8").splitlines()
    head = dict(line[1:].split(":", 1) for line in lines if line.startswith("#"))
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    about = {key.strip(): value.strip() for key, value in head.items()}
    industries = {row["key"]: _industry(row) for row in rows}
    return SizeStandard(standard, about["standard"], date.fromisoformat(about["effective_from"]), industries)


def classify(
    standard: str, industry: str, employees: int | None, revenue_fen: int | None, assets_fen: int | None
) -> SizeResult:
    """The size class (eligible.size, 二(一)): a class needs all its lower limits, else the next is tested.

    Raises MissingFigure for a needed figure that is None, UnknownIndustry for a key the standard does not have.
    """
    industries = load_standard(standard).industries
    if industry not in industries:
        raise UnknownIndustry(industry, tuple(industries))
    limits = industries[industry].limits
    given = {"employees": employees, "revenue": revenue_fen, "assets": assets_fen}
    needed: dict[str, int] = {}
    for indicator in limits:
        figure = given[indicator]
        if figure is None:
            raise MissingFigure(indicator, industry)
        needed[indicator] = figure
    size: Size = next(
        (
            name
            for place, name in enumerate(_CLASSES)
            if all(figure >= limits[indicator][place] for indicator, figure in needed.items())
        ),
        "micro",
    )
    reaches_large = any(figure >= limits[indicator][0] for indicator, figure in needed.items())
    shown = {name: str(figure) if name == "employees" else format_yuan(figure) for name, figure in needed.items()}
    figures = {"size": size, "industry": industry, "standard": standard, **shown}
    return SizeResult(size, size == "micro" and reaches_large, figures)
