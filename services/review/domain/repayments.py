"""What happens to a covered loan outside its claim: repaid, compensated, recovered."""

from datetime import date

from services.review.domain.loans import Loan
from services.review.policy import ReviewPolicy
from shared.contracts import partners, pool, recovery
from shared.contracts.review import LoanCompensated, LoanRecovered, PrincipalRepaid
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan

REPAYABLE = ("covered", "claimed", "verified", "repaid")


def decide_repayment(
    loan: Loan | None, repaid: partners.LoanRepaid, sender: str, today: date, policy: ReviewPolicy
) -> Decision:
    """A repayment of principal (loan.repayment): by the lender, never more than is outstanding.

    Before the government's consent it also lowers a claim, since nobody receives more than its own loss
    (claim.amount); after it, what the enterprise pays is a recovery and is reported as such.
    """
    if loan is None:
        return Refusal("unknown", "loan", {"loan_no": repaid.loan_no})
    if sender != loan.lender:
        return Refusal("permission", "loan_lender", {"loan_no": loan.loan_no, "lender": loan.lender})
    figures = {
        "loan_no": loan.loan_no,
        "amount": format_yuan(repaid.principal),
        "outstanding": format_yuan(loan.outstanding_fen),
        "repaid_on": repaid.repaid_on.isoformat(),
        "disbursed_on": loan.disbursed_on.isoformat(),
        "status": loan.status,
    }
    if loan.status not in REPAYABLE:
        return Refusal("loan.repayment", "status", figures)
    if repaid.repaid_on > today:
        return Refusal("loan.repayment", "future", figures)
    if repaid.repaid_on < loan.disbursed_on:
        return Refusal("loan.repayment", "early", figures)
    if repaid.principal > loan.outstanding_fen:
        return Refusal("loan.repayment", "", figures)
    event = PrincipalRepaid(
        uscc=loan.uscc,
        loan_no=loan.loan_no,
        amount=repaid.principal,
        outstanding=loan.outstanding_fen - repaid.principal,
        repaid_on=repaid.repaid_on,
        why=policy.why("loan.repayment", **figures),
    )
    return Accepted((event,), {"outstanding": format_yuan(event.outstanding)})


def note_compensation(settled: pool.CompensationSettled) -> Decision:
    """A settled compensation: later claims of its institution owe a recovery statement for it (claim.statement)."""
    return Accepted((LoanCompensated(uscc=settled.uscc, loan_no=settled.loan_no, amount=settled.amount),))


def note_recovery(closed: recovery.RecoveryClosed) -> Decision:
    """A closed recovery: later claims owe no statement for it any more (claim.statement)."""
    returned = closed.remitted + closed.clawed_back
    return Accepted((LoanRecovered(uscc=closed.uscc, loan_no=closed.loan_no, returned=returned),))
