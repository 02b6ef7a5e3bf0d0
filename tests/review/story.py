"""A case told through its commands: each step decides on the folded state and folds the events that follow."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from services.review.domain.admission import decide_opening
from services.review.domain.agreements import Agreement, decide_agreement, evolve_agreement
from services.review.domain.cases import Case, HighQuota, case_keys, evolve_case, evolve_quota, quota_keys
from services.review.domain.coverage import decide_cover
from services.review.domain.financing import decide_day, decide_decline, decide_push
from services.review.domain.loans import Loan, evolve_loan, loan_keys
from services.review.domain.panel import decide_consent, decide_round, decide_tie, decide_veto, decide_vote
from services.review.policy import ReviewPolicy
from shared.contracts import commands, partners
from shared.contracts.base import Event, Grade, Product
from shared.contracts.commands import Person, SignAgreement, Terms
from shared.contracts.referral import EnterpriseAdmitted
from shared.decisions import Accepted, Decision, Refusal
from shared.scheme.loader import load_scheme
from shared.scheme.refusals import sentences

POLICY = load_scheme("yanqing").policy(ReviewPolicy)
A, B, C = "91110119MA01ABC17J", "911101191000000164", "93110119MA00NY013F"
SEATS = ("drc", "finance", "scitech", "bank-a")


def accepted(decision: Decision) -> tuple[Event, ...]:
    """The events of a decision that must not be a refusal."""
    assert isinstance(decision, Accepted), decision
    return decision.events


def names(decision: Decision) -> list[str]:
    """The names of an accepted decision's events, in order."""
    return [type(event).__name__ for event in accepted(decision)]


def refused(decision: Decision) -> str:
    """``rule`` or ``rule/reason`` of a refusal, which must have a sentence that its figures fill."""
    assert isinstance(decision, Refusal), decision
    key = f"{decision.rule}/{decision.reason}" if decision.reason else decision.rule
    for text in sentences()[key].values():
        text.format_map(decision.figures)
    return key


def day(text: str) -> date:
    return date.fromisoformat(text)


def agreement(institution: str, kind: str = "bank", **changes: object) -> Agreement:
    facts: dict[str, object] = {
        "institution": institution, "kind": kind, "name": institution, "valid_from": day("2026-01-01"),
        "valid_to": day("2028-12-31"), "products": ("bank", "guarantee", "insurance"),
    }
    decision = decide_agreement(None, SignAgreement.model_validate(facts | changes), POLICY)
    assert isinstance(decision, Accepted)
    signed = evolve_agreement(None, decision.events[0])
    assert signed is not None
    return signed


def terms(rate: str, collateral: str, own: bool = False) -> Terms:
    return Terms.model_validate({"annual_rate_from": Decimal(rate), "collateral": collateral, "own_product": own})


class Story:
    """The review service's memory without its database."""

    def __init__(self, *agreements: Agreement) -> None:
        signed = agreements or (
            agreement("bank-a"), agreement("bank-b", products=("bank",)), agreement("lender-a", "lender"),
            agreement("guarantor-a", "guarantor", guarantor_shares={"bank-a": Decimal("0.80")}),
            agreement("insurer-a", "insurer", products=("insurance",)),
        )
        self.agreements = {each.institution: each for each in signed}
        self.cases: dict[str, Case | None] = {}
        self.quotas: dict[str, HighQuota | None] = {}
        self.loans: dict[str, Loan | None] = {}

    def fold(self, decision: Decision) -> Decision:
        for event in decision.events if isinstance(decision, Accepted) else ():
            self.evolve(event)
        return decision

    def evolve(self, event: Event) -> None:
        for key in case_keys(event):
            self.cases[key] = evolve_case(self.cases.get(key), event)
        for key in quota_keys(event):
            self.quotas[key] = evolve_quota(self.quotas.get(key), event)
        for key in loan_keys(event):
            self.loans[key] = evolve_loan(self.loans.get(key), event)

    def case(self, uscc: str = A) -> Case:
        case = self.cases[uscc]
        assert case is not None
        return case

    def group(self, uscc: str) -> list[Case]:
        return [case for key, case in self.cases.items() if case and key != uscc]

    def quota(self, year: int = 2026) -> tuple[str, ...]:
        quota = self.quotas.get(str(year))
        return quota.enterprises if quota else ()

    def admit(self, uscc: str = A, on: str = "2026-01-14", **changes: object) -> Decision:
        facts: dict[str, object] = {
            "uscc": uscc, "name": f"企业{uscc[-4:]}", "recommender": "scitech", "need": 3_000_000_00,
            "need_waived": False, "sector": "low_altitude", "legal_representative": Person(name="赵一", id="11022919x"),
            "affiliates": (), "shareholders": (), "findings": (), "admitted_on": day(on),
        }
        admitted = EnterpriseAdmitted.model_validate(facts | changes)
        return self.fold(decide_opening(self.cases.get(uscc), admitted, POLICY))

    def open_round(self, uscc: str = A, seats: tuple[str, ...] = SEATS, on: str = "2026-01-15") -> Decision:
        command = commands.OpenRatingRound(uscc=uscc, seats=seats)
        return self.fold(decide_round(self.cases.get(uscc), command, self.agreements, day(on), POLICY))

    def vote(self, seat: str, grade: Grade, uscc: str = A, on: str = "2026-01-19") -> Decision:
        command = commands.CastVote(uscc=uscc, grade=grade)
        return self.fold(decide_vote(self.cases.get(uscc), command, seat, self.agreements, day(on), POLICY))

    def ballot(self, *grades: Grade, uscc: str = A, on: str = "2026-01-19") -> Decision:
        """Every seat votes, in the order of the seats; the answer to the last vote."""
        answers = [self.vote(seat, grade, uscc, on) for seat, grade in zip(self.case(uscc).seats, grades, strict=True)]
        return answers[-1]

    def rate(self, grade: Grade = "medium", uscc: str = A, on: str = "2026-01-19") -> Decision:
        self.open_round(uscc, on=on)
        return self.ballot(*[grade] * 4, uscc=uscc, on=on)

    def tie(self, grade: Grade, uscc: str = A, on: str = "2026-01-20") -> Decision:
        command = commands.DecideTie(uscc=uscc, grade=grade, reason="综合考虑")
        return self.fold(decide_tie(self.cases.get(uscc), command, self.agreements, day(on), POLICY))

    def veto(self, uscc: str = A) -> Decision:
        command = commands.VetoEnterprise(uscc=uscc, reason="不符合方向")
        return self.fold(decide_veto(self.cases.get(uscc), command, POLICY))

    def consent(self, uscc: str = A, on: str = "2026-01-20", refuse: bool = False) -> Decision:
        decision = "refuse" if refuse else "consent"
        command = commands.ConsentHighRisk.model_validate({"uscc": uscc, "decision": decision, "document_no": "8号"})
        quota = self.quotas.get(on[:4])
        return self.fold(decide_consent(self.cases.get(uscc), command, quota, self.agreements, day(on), POLICY))

    def push(
        self, *institutions: str, uscc: str = A, product: Product = "bank", on: str = "2026-01-20"
    ) -> Decision:
        command = commands.PushFinancing(uscc=uscc, product=product, institutions=institutions)
        case = self.cases.get(uscc)
        return self.fold(decide_push(case, command, self.agreements, self.group(uscc), day(on), POLICY))

    def decline(self, institution: str, uscc: str = A) -> Decision:
        declined = partners.FinancingDeclined(uscc=uscc, reason="抵押不足")
        return self.fold(decide_decline(self.cases.get(uscc), declined, institution, POLICY))

    def day(self, on: str) -> tuple[Event, ...]:
        answer = decide_day([case for case in self.cases.values() if case], day(on), POLICY)
        self.fold(answer)
        return answer.events

    def days(self, *dates: str) -> Iterable[tuple[Event, ...]]:
        return [self.day(each) for each in dates]

    def disburse(self, sender: str = "bank-a", on: str = "2026-01-26", **changes: object) -> Decision:
        facts: dict[str, object] = {
            "uscc": A, "loan_no": "A-0001", "product": "bank", "principal": 3_000_000_00,
            "annual_rate": Decimal("0.0385"), "disbursed_on": day(on), "matures_on": day("2030-01-25"),
        }
        report = partners.LoanDisbursed.model_validate(facts | changes)
        case, loan = self.cases.get(report.uscc), self.loans.get(report.loan_no)
        group = self.group(report.uscc)
        return self.fold(decide_cover(case, loan, report, sender, self.agreements, group, day(on), POLICY))
