"""The facts that the claim tests start from, and the fold of the events that follow."""

import json
from datetime import date, datetime
from zoneinfo import ZoneInfo

from services.review.domain.batches import Batch, evolve_batch
from services.review.domain.loans import Loan, evolve_loan, loan_keys
from services.review.domain.repayments import decide_repayment
from services.review.policy import ReviewPolicy
from shared.contracts import partners
from shared.contracts.base import Event
from shared.contracts.review import (
    ClaimAccepted,
    ClaimBatchOpened,
    ClaimVerified,
    CompensationApproved,
    CompensationItem,
    LoanCompensated,
    LoanCovered,
)
from shared.decisions import Accepted, Decision, Refusal
from shared.money import parse_yuan
from shared.scheme.loader import load_scheme
from shared.scheme.refusals import sentences

POLICY = load_scheme("yanqing").policy(ReviewPolicy)
USCC = "91110119MA01ABC17J"
JULY = date(2026, 7, 1)
SEATS = ("drc", "finance", "scitech", "bank-a")


def at(day: str, hour: int = 10) -> datetime:
    """A moment of a business day in Asia/Shanghai."""
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo("Asia/Shanghai")).replace(hour=hour)


def covered(**changes: object) -> LoanCovered:
    """A loan of 3,000,000.00 by bank-a at 50 %, disbursed on 2026-01-26 and due on 2027-01-25."""
    facts: dict[str, object] = {
        "uscc": USCC, "loan_no": "A-0001", "lender": "bank-a", "product": "bank", "principal": "3000000.00",
        "ratio": "0.50", "payee": "bank-a", "recommender": "scitech", "seats": SEATS, "annual_rate": "0.0385",
        "disbursed_on": "2026-01-26", "matures_on": "2027-01-25",
    }
    return LoanCovered.model_validate_json(_json(facts | changes))


def accepted_claim(**changes: object) -> ClaimAccepted:
    """A claim of 2,000,000.00 on A-0001, accepted on 2026-06-10."""
    facts: dict[str, object] = {
        "uscc": USCC, "loan_no": "A-0001", "claimant": "bank-a", "payee": "bank-a", "classified": "substandard",
        "classified_on": "2026-06-08", "claimed": "2000000.00", "base": "2000000.00", "accepted_on": "2026-06-10",
        "accepted_at": "2026-06-10T10:00:00+08:00",
    }
    return ClaimAccepted.model_validate_json(_json(facts | changes))


def given(*events: Event) -> Loan:
    """The loan after these events."""
    loan: Loan | None = None
    for event in events:
        loan = evolve_loan(loan, event)
    assert loan is not None
    return loan


def then(loan: Loan, decision: Decision) -> Loan:
    """The loan after the events of an accepted decision that are about it."""
    after: Loan | None = loan
    for event in accepted(decision):
        if loan.loan_no in loan_keys(event):
            after = evolve_loan(after, event)
    assert after is not None
    return after


def accepted(decision: Decision) -> tuple[Event, ...]:
    """The events of a decision that must not be a refusal."""
    assert isinstance(decision, Accepted), decision
    return decision.events


def names(decision: Decision) -> list[str]:
    """The names of an accepted decision's events, in order."""
    return [type(event).__name__ for event in accepted(decision)]


def refused(decision: Decision) -> str:
    """``rule`` or ``rule/reason`` of a refusal, which must have a sentence whose placeholders are all filled."""
    assert isinstance(decision, Refusal), decision
    key = f"{decision.rule}/{decision.reason}" if decision.reason else decision.rule
    for text in sentences()[key].values():
        text.format_map(decision.figures)
    return key


def claimed(loan_no: str = "A-0001", on: str = "2026-06-10", **changes: object) -> Loan:
    """A covered loan with an accepted claim of 2,000,000.00."""
    filed = accepted_claim(loan_no=loan_no, accepted_on=on, accepted_at=f"{on}T10:00:00+08:00")
    return given(covered(loan_no=loan_no, **changes), filed)


def open_batch(*loan_nos: str) -> Batch:
    """The batch of 2026H1, opened on 1 July over these loans."""
    batch = evolve_batch(None, ClaimBatchOpened(half="2026H1", loan_nos=loan_nos or ("A-0001",), opened_on=JULY))
    assert batch is not None
    return batch


def in_batch(loan: Loan) -> Loan:
    """The loan once that batch holds its claim."""
    opened = ClaimBatchOpened(half="2026H1", loan_nos=(loan.loan_no,), opened_on=JULY)
    return then(loan, Accepted((opened,)))


def verified(loan_no: str = "A-0001", on: str = "2026-06-10", **changes: object) -> Loan:
    """A loan whose claim the seats approved at its base."""
    loan = in_batch(claimed(loan_no, on, **changes))
    assert loan.claim is not None
    event = ClaimVerified(
        uscc=USCC, loan_no=loan_no, half="2026H1", verified_principal=loan.claim.base_fen, ratio=loan.ratio,
        decided_by="majority",
    )
    return then(loan, Accepted((event,)))


def compensated_loan(loan_no: str, **changes: object) -> Loan:
    """A loan whose compensation of 50.00 was paid."""
    item = CompensationItem(
        loan_no=loan_no, uscc=USCC, payee="bank-a", lender="bank-a", recommender="scitech",
        verified_principal=100_00, ratio=POLICY.grades["medium"], reduction=POLICY.grades["medium"] * 0, amount=50_00,
    )
    approved = CompensationApproved(half="2026H1", consented_on=date(2026, 7, 15), document_no="1", items=(item,))
    return given(
        covered(loan_no=loan_no, **changes), accepted_claim(loan_no=loan_no), approved,
        LoanCompensated(uscc=USCC, loan_no=loan_no, amount=50_00),
    )


def repay(loan: Loan | None, yuan: str, on: str = "2026-05-20", sender: str = "bank-a") -> Decision:
    """The answer to a repayment reported on 2026-05-20."""
    repaid = partners.LoanRepaid(loan_no="A-0001", principal=parse_yuan(yuan), repaid_on=date.fromisoformat(on))
    return decide_repayment(loan, repaid, sender, date(2026, 5, 20), POLICY)


def _json(facts: dict[str, object]) -> str:
    return json.dumps(facts)
