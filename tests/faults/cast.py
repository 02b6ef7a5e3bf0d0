"""Who takes part in a random year and what becomes of each, drawn from the seed alone."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from riskpool.scenario.codes import synthetic_uscc
from riskpool.scenario.text import read_yaml

_LENDING = Path(__file__).parents[2] / "riskpool" / "scenarios" / "parts" / "lending.yaml"
DEFAULTS: dict[str, dict[str, Any]] = read_yaml(_LENDING.read_text(encoding="utf-8"), _LENDING.name)["defaults"]
ORGANISATIONS = (
    "drc", "finance", "government", "scitech", "culture", "agriculture",
    "custodian", "bank-a", "bank-b", "guarantor-a", "insurer-a",
)  # fmt: skip
# (fate, product): what every year has; further enterprises are drawn from the same.
LOTS = (
    ("recovering", "bank"), ("recovering", "guarantee"), ("written_off", "bank"), ("repaid", "insurance"),
    ("declined", "bank"), ("recovering", "bank"), ("repaid", "bank"), ("vetoed", "bank"), ("withdrawn", "bank"),
    ("refused", "bank"), ("written_off", "guarantee"),
)  # fmt: skip
HIGH_A_YEAR = 2


@dataclass
class Enterprise:
    """One enterprise: its ``random`` is its own, so that what others do meanwhile does not change its draws."""

    uscc: str
    loan_no: str
    fate: str
    product: str
    recommender: str
    lender: str
    grade: str
    principal_fen: int
    early: bool
    random: Random
    outstanding_fen: int = field(init=False)

    def __post_init__(self) -> None:
        self.outstanding_fen = self.principal_fen if self.lent else 0

    @property
    def lent(self) -> bool:
        return self.fate in ("recovering", "written_off", "repaid")

    @property
    def claims(self) -> bool:
        return self.fate in ("recovering", "written_off")

    @property
    def claimant(self) -> str:
        return "guarantor-a" if self.product == "guarantee" else self.lender

    @property
    def seats(self) -> list[str]:
        return ["drc", "finance", self.recommender, self.lender]

    @property
    def backed_by(self) -> dict[str, str]:
        return {"guarantee": {"guarantor": "guarantor-a"}, "insurance": {"insurer": "insurer-a"}}.get(self.product, {})

    @property
    def pushed(self) -> list[str]:
        return [*(["bank-a", "bank-b"] if self.product == "bank" else [self.lender]), *self.backed_by.values()]


def cast_of(seed: int, count: int) -> list[Enterprise]:
    """The enterprises of a year; every call gives new ones that draw the same."""
    draw, high = Random(f"{seed}:cast"), 0
    cast = []
    for number in range(count):
        fate, product = LOTS[number] if number < len(LOTS) else draw.choice(LOTS)
        grade = draw.choice(("low", "medium", "medium", "high"))
        if grade == "high" and (high == HIGH_A_YEAR or fate in ("vetoed", "declined", "withdrawn", "refused")):
            grade = "medium"
        high += grade == "high"
        cast.append(
            Enterprise(
                synthetic_uscc(draw.randrange(1000) * 1000 + number),
                f"L-{number}",
                fate,
                product,
                draw.choice(("scitech", "culture", "agriculture")),
                "bank-a" if product == "guarantee" else draw.choice(("bank-a", "bank-b")),
                grade,
                draw.randint(200_000_00, 4_900_000_00),
                number % 3 < 2,
                Random(f"{seed}:{number}"),
            )
        )
    return cast


def pause_line(cast: list[Enterprise]) -> str:
    """A pause line that the first half-year's claims reach, as a share of the capital."""
    weights = {"high": 1.0, "medium": 0.5, "low": 0.2}
    claimed = sum(one.principal_fen * weights[one.grade] for one in cast if one.claims and one.early)
    return f"{max(0.01, min(0.45, claimed * 0.5 / 30_000_000_00)):.2f}"


def money(fen: int) -> str:
    """Yuan with two decimals."""
    return f"{fen // 100}.{fen % 100:02d}"
