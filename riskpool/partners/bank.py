"""What a simulated bank reports in a month: drawn from a seed, out of the bank's own view of its cases and loans."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from shared.contracts.partners import RecoveryStatement
from shared.money import format_yuan, parse_yuan

Row = dict[str, Any]
SLIPS = 0.2  # how often something wrong is reported first, as a clerk would
BACKER = {"guarantee": "guarantor", "insurance": "insurer"}
REASONS = ("抵押不足", "现金流不足", "负债率偏高")


@dataclass(frozen=True)
class View:
    """What the API shows the bank of its own: cases pushed to it, its loans, its compensated loans' recoveries."""

    cases: tuple[Row, ...]
    loans: tuple[Row, ...]
    recoveries: tuple[Row, ...]

    def loan(self, loan_no: str) -> Row:
        """A loan's row, empty where there is none."""
        return next((row for row in self.loans if row["loan_no"] == loan_no), {})

    def recovery(self, loan_no: str) -> Row:
        """A recovery's row, empty where there is none."""
        return next((row for row in self.recoveries if row["loan_no"] == loan_no), {})


def at_once(_view: View) -> bool:
    """An event whose effect the view need not show."""
    return True


@dataclass(frozen=True)
class Report:
    """An event to be reported; once accepted, the next view must show it before anything else is drawn."""

    name: str
    fields: Row
    shows: Callable[[View], bool] = at_once

    @property
    def about(self) -> str:
        """The loan's number, else the enterprise's code."""
        return str(self.fields.get("loan_no") or self.fields["uscc"])


@dataclass
class Bank:
    """A lender: the same seed reports the same of the same views; ``declined`` are the rounds it has declined."""

    institution: str
    seed: int
    months: int = 0
    declined: set[tuple[str, int]] = field(default_factory=set)

    def month(self, view: View, day: date) -> Iterator[Report]:
        """Answers to pushes, then repayments and claims, then recoveries and write-offs; ``day`` dates them all."""
        self.months += 1
        for case in view.cases:
            yield from self._answer(case, day)
        for loan in view.loans:
            if loan["lender"] == self.institution and loan["status"] == "covered":
                yield from self._service(loan, view, day)
        for recovery in view.recoveries:
            if recovery["status"] != "closed":
                yield from self._recover(recovery, day)

    def _draw(self, about: str) -> Random:
        """Draws of one item in this month: what becomes of others does not change them."""
        return Random(f"{self.seed}:{about}:{self.months}")

    def _answer(self, case: Row, day: date) -> Iterator[Report]:
        """A push is declined, or lent on: six tenths to all of the need (loan.pushed, loan.cap)."""
        uscc, draw = str(case["uscc"]), self._draw(case["uscc"])
        if (uscc, case["failures"]) in self.declined:
            return
        if draw.random() < 0.15:
            self.declined.add((uscc, case["failures"]))
            yield Report("FinancingDeclined", {"uscc": uscc, "reason": draw.choice(REASONS)})
            return
        need_fen = parse_yuan(case["need"])
        loan_no = f"{self.institution}-{uscc}"
        others = [one for one in case["pushed_to"] if one != self.institution]
        backed = {BACKER[case["product"]]: others[-1]} if case["product"] in BACKER and others else {}
        terms = {"uscc": uscc, "loan_no": loan_no, "product": case["product"], **backed}
        terms |= {"annual_rate": draw.choice(("0.0385", "0.0420")), "disbursed_on": str(day)}
        terms |= {"matures_on": str(day + timedelta(days=365))}
        principal = format_yuan(need_fen * draw.randint(60, 100) // 100)
        if draw.random() < SLIPS:
            yield Report("LoanDisbursed", {**terms, "principal": format_yuan(need_fen + 1)})
        yield Report("LoanDisbursed", {**terms, "principal": principal}, lambda view: bool(view.loan(loan_no)))

    def _service(self, loan: Row, view: View, day: date) -> Iterator[Report]:
        """A covered loan is repaid in part or whole, goes bad, or nothing happens (loan.repayment, claim.*)."""
        loan_no, left_fen = str(loan["loan_no"]), parse_yuan(loan["outstanding"])
        draw = self._draw(loan_no)
        fate = draw.random()
        if fate < 0.15:
            yield from self._claim(loan_no, left_fen, view, day, draw)
        elif fate < 0.80:
            part_fen = left_fen if fate > 0.75 else max(1, left_fen // draw.randint(4, 12))
            if draw.random() < SLIPS:
                yield _repaid(loan_no, left_fen + 1, day)
            left = format_yuan(left_fen - part_fen)
            yield _repaid(loan_no, part_fen, day, lambda view: view.loan(loan_no).get("outstanding") == left)

    def _claim(self, loan_no: str, left_fen: int, view: View, day: date, draw: Random) -> Iterator[Report]:
        """The claim, with a statement on every compensated loan that is still open (claim.statement)."""
        classified = draw.choice(("substandard", "doubtful"))
        told: Row = {"loan_no": loan_no, "classified": classified, "classified_on": str(day)}
        statements = [
            RecoveryStatement(loan_no=row["loan_no"], as_of=day, text="正在执行").model_dump(mode="json")
            for row in view.recoveries
            if row["status"] != "closed"
        ]
        told |= {"evidence": ["五级分类认定表"], "recovery_statements": statements}
        if draw.random() < SLIPS:
            yield Report("LoanDefaulted", {**told, "outstanding_principal": format_yuan(left_fen + 1)})
        yield Report(
            "LoanDefaulted",
            {**told, "outstanding_principal": format_yuan(left_fen)},
            lambda view: view.loan(loan_no).get("status") != "covered",
        )

    def _recover(self, recovery: Row, day: date) -> Iterator[Report]:
        """Something is collected, or after a court's ruling the rest is given up (recovery.share, writeoff.ground)."""
        draw, loan_no = self._draw(recovery["loan_no"]), str(recovery["loan_no"])
        fate, paid_fen, collected_fen = draw.random(), parse_yuan(recovery["paid"]), parse_yuan(recovery["collected"])
        if fate < 0.15 and recovery["status"] == "open":
            ruling = {"loan_no": loan_no, "ruling_no": f"（{day.year}）京0119执{draw.randint(1, 999)}号"}
            ruling |= {"ruled_on": str(day)}
            if draw.random() < SLIPS:
                yield Report("WriteOffProposed", {**ruling, "ground": "execution_suspended"})
            yield Report(
                "WriteOffProposed",
                {**ruling, "ground": "execution_terminated"},
                lambda view: view.recovery(loan_no).get("status") != "open",
            )
        elif fate < 0.70 and collected_fen < 2 * paid_fen:
            amount_fen = max(1, paid_fen // draw.randint(5, 20))
            after = format_yuan(collected_fen + amount_fen)
            fields = {"loan_no": loan_no, "amount": format_yuan(amount_fen), "collected_on": str(day)}
            yield Report("RecoveryCollected", fields, lambda view: view.recovery(loan_no).get("collected") == after)


def _repaid(loan_no: str, fen: int, day: date, shows: Callable[[View], bool] = at_once) -> Report:
    return Report("LoanRepaid", {"loan_no": loan_no, "principal": format_yuan(fen), "repaid_on": str(day)}, shows)
