"""What a run of a story came to: the outcome, its JSON, and the table a person reads."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from riskpool.scenario.story import Step

FIGURES = (
    "state",
    "capital",
    "balance",
    "cash",
    "instructed",
    "compensated_gross",
    "counter",
    "pause_line",
    "resume_line",
    "held_total",
    "recoverable",
    "income_total",
    "subsidies_total",
    "fees_total",
    "exposure",
)


@dataclass(frozen=True)
class Failure:
    """One step that did not hold: what was expected and what was found."""

    step: int
    label: str
    on: str
    what: str
    expected: str
    found: str

    @classmethod
    def of(cls, step: Step, expected: str, found: str) -> "Failure":
        """The failure of a step."""
        what = f"expect {step.expect}" if step.expect else f"{step.do} by {step.by}" if step.do else "the day begins"
        return cls(step.number, step.label, step.on.isoformat(), what, expected, found)

    def __str__(self) -> str:
        return f"step {self.label} ({self.on}), {self.what}: expected {self.expected}; found {self.found}"


@dataclass
class Outcome:
    """A finished run; ``pool`` is the fund as it stood at the end."""

    title: str
    scheme: str
    steps: int
    failed: list[Failure] = field(default_factory=list)
    pool: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Every step and expectation held."""
        return not self.failed

    def document(self) -> dict[str, Any]:
        """The ``--json`` form (contract.md section 9)."""
        return {
            "steps": self.steps,
            "passed": self.steps - len({failure.step for failure in self.failed}),
            "failed": [vars(failure) for failure in self.failed],
            "pool": self.pool,
            "seconds": round(self.seconds, 3),
        }


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The steps that failed, the fund at the end, and one line that says how it went."""
    if outcome.failed:
        table = Table(title="Steps that did not hold", title_justify="left", show_lines=True)
        for heading in ("step", "date", "what", "expected", "found"):
            table.add_column(heading, overflow="fold")
        for failure in outcome.failed:
            table.add_row(*map(escape, (failure.label, failure.on, failure.what, failure.expected, failure.found)))
        console.print(table)
    console.print(fund_table(outcome.scheme, outcome.pool))
    passed = outcome.document()["passed"]
    colour, word = ("green", "every step held") if outcome.ok else ("red", f"{outcome.steps - passed} did not hold")
    told = f"{escape(outcome.title)}: {passed} of {outcome.steps} steps, {word}"
    console.print(f"[{colour}]{told}[/] ({outcome.seconds:.1f} s)")


def fund_table(scheme: str, pool: dict[str, Any]) -> Table:
    """The figures of a fund, one a row."""
    table = Table(title=f"The fund {scheme} at the end", title_justify="left", show_header=False, min_width=44)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for key in FIGURES:
        if key in pool:
            table.add_row(key.replace("_", " "), in_thousands(str(pool[key])))
    return table


def in_thousands(amount: str) -> str:
    """An amount as people read it: ``29714666.66`` is ``29,714,666.66``; other texts as they are."""
    whole, dot, decimals = amount.partition(".")
    return f"{int(whole):,}{dot}{decimals}" if dot and whole.lstrip("-").isdigit() else amount
