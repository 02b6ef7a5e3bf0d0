"""Every loan's life folded from the events: cover, claim, compensation, recovery."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from services.gateway.reports.history import Happened, History, ledger_fen
from services.gateway.reports.period import Period
from services.gateway.reports.report import Check
from services.gateway.reports.wording import Wording
from shared.contracts import pool, recovery, review
from shared.contracts.base import Event


@dataclass(frozen=True)
class Paid:
    """One settled compensation; ``shares`` says who ends up with how much of it."""

    position: int
    on: date
    fen: int
    bank_ref: str
    shares: dict[str, int]


@dataclass(frozen=True)
class Collected:
    """One amount recovered from the borrower, and the pool's share of it."""

    on: date
    fen: int
    pool_fen: int
    costs_fen: int
    due_on: date


@dataclass(frozen=True)
class Returned:
    """Money of a recovery or clawback that the pool booked; ``applied_fen`` lowers the loan's outstanding."""

    position: int
    on: date
    purpose: str
    fen: int
    applied_fen: int


@dataclass
class Loan:
    """A covered loan as of the history's end; amounts in fen."""

    cover: review.LoanCovered
    repaid_fen: int = 0
    uncovered: bool = False
    claim: review.ClaimAccepted | None = None
    claim_status: str = ""
    half: str = ""
    set_fen: int | None = None
    verified_fen: int | None = None
    decided_by: str = ""
    reasons: tuple[str, ...] = ()
    rejected_by: str = ""
    item: review.CompensationItem | None = None
    consented_on: date | None = None
    document_no: str = ""
    released_fen: int = 0
    instructed_fen: int = 0
    paid: list[Paid] = field(default_factory=list)
    instructed: dict[str, dict[str, int]] = field(default_factory=dict)
    collected: list[Collected] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    overdue_fen: int = 0
    write_off: recovery.WriteOffRequested | None = None
    written_off: list[tuple[date, int]] = field(default_factory=list)
    clawback_fen: int = 0
    recovery_status: str = ""

    @property
    def outstanding_fen(self) -> int:
        """Principal not repaid."""
        return max(0, self.cover.principal - self.repaid_fen)

    @property
    def paid_fen(self) -> int:
        """Compensation that the custodian has paid."""
        return sum(one.fen for one in self.paid)

    @property
    def held_fen(self) -> int:
        """Compensation released and not instructed."""
        return max(0, self.released_fen - self.instructed_fen)

    @property
    def status(self) -> str:
        """As the API says it."""
        if self.uncovered or self.recovery_status == "closed":
            return "closed"
        if self.paid_fen:
            return "compensated"
        return self.claim_status or ("repaid" if self.outstanding_fen == 0 else "covered")

    def has_party(self, institution: str) -> bool:
        """Whether an institution is lender, payee, guarantor or insurer."""
        cover = self.cover
        return institution in (cover.lender, cover.payee, cover.guarantor, cover.insurer)

    def collected_fen(self, until: date, since: date = date.min) -> int:
        """What was recovered from the borrower between two days."""
        return sum(one.fen for one in self.collected if since <= one.on <= until)

    def share_fen(self, until: date, since: date = date.min) -> int:
        """The pool's share of it."""
        return sum(one.pool_fen for one in self.collected if since <= one.on <= until)

    def returned_fen(self, purpose: str, until: date, since: date = date.min) -> int:
        """What came back to the pool, by the day it was booked."""
        return sum(one.applied_fen for one in self.returned if one.purpose == purpose and since <= one.on <= until)

    def written_off_fen(self, until: date, since: date = date.min) -> int:
        """What was written off."""
        return sum(fen for on, fen in self.written_off if since <= on <= until)


def loans_of(history: History) -> dict[str, Loan]:
    """All covered loans by number."""
    found: dict[str, Loan] = {}
    for happened in history.happened:
        event = happened.event
        if isinstance(event, review.LoanCovered):
            found[event.loan_no] = Loan(event)
            continue
        if isinstance(event, review.ClaimBatchOpened | review.CompensationApproved | pool.PayoutNoticeIssued):
            _several(found, event)
            continue
        loan = found.get(str(getattr(event, "loan_no", "")))
        if loan is None:
            continue
        if isinstance(event, review.ReviewEvent):
            _claimed(loan, event)
        elif isinstance(event, pool.PoolEvent):
            _paid(loan, happened, event)
        else:
            _recovered(loan, happened, event)
    return found


def _several(found: dict[str, Loan], event: Event) -> None:
    match event:
        case review.ClaimBatchOpened():
            for loan_no in event.loan_nos:
                if loan_no in found:
                    found[loan_no].half = event.half
        case review.CompensationApproved():
            for item in event.items:
                if loan := found.get(item.loan_no):
                    loan.item, loan.consented_on, loan.document_no = item, event.consented_on, event.document_no
                    loan.claim_status, loan.half, loan.verified_fen = "approved", event.half, item.verified_principal
            for excluded in event.excluded:
                if loan := found.get(excluded.loan_no):
                    loan.claim_status, loan.rejected_by, loan.reasons = "rejected", "government", (excluded.reason,)
        case pool.PayoutNoticeIssued():
            for released in event.items:
                if loan := found.get(released.loan_no):
                    loan.released_fen += released.amount


def _claimed(loan: Loan, event: review.ReviewEvent) -> None:
    match event:
        case review.PrincipalRepaid():
            loan.repaid_fen += event.amount
        case review.LoanUncovered():
            loan.uncovered = True
        case review.ClaimAccepted():
            loan.claim, loan.claim_status = event, "claimed"
        case review.VerifiedPrincipalSet():
            loan.set_fen = event.amount
        case review.ClaimVerified():
            loan.claim_status, loan.half, loan.verified_fen = "verified", event.half, event.verified_principal
            loan.decided_by = event.decided_by
        case review.ClaimRejected():
            loan.claim_status, loan.rejected_by, loan.reasons = "rejected", event.by, event.reasons


def _paid(loan: Loan, happened: Happened, event: pool.PoolEvent) -> None:
    match event:
        case pool.CompensationInstructed():
            loan.instructed_fen += event.amount
            loan.instructed[event.disbursement_id] = event.shares
        case pool.CompensationSettled():
            shares = loan.instructed.get(event.disbursement_id, {})
            loan.paid.append(Paid(happened.position, event.on, event.amount, event.bank_ref, shares))
        case pool.DisbursementReturned() if event.kind == "compensation":
            loan.instructed_fen -= event.amount
        case pool.FundsBooked() if event.purpose != "other":
            loan.returned.append(
                Returned(happened.position, event.on, event.purpose, event.amount, event.applied)
            )


def _recovered(loan: Loan, happened: Happened, event: Event) -> None:
    match event:
        case recovery.RecoveryOpened():
            loan.recovery_status = "open"
        case recovery.RecoveryShared():
            loan.collected.append(
                Collected(event.collected_on, event.amount, event.pool_share, event.costs, event.due_on)
            )
        case recovery.RecoveryRemitted():
            loan.overdue_fen = max(0, loan.overdue_fen - event.amount)
        case recovery.RemittanceOverdue():
            loan.overdue_fen += event.amount
        case recovery.WriteOffRequested():
            loan.write_off, loan.recovery_status = event, "write_off_requested"
        case recovery.WriteOffRefused():
            loan.write_off, loan.recovery_status = None, "open"
        case recovery.WriteOffApproved():
            loan.written_off.append((happened.on, event.amount))
            loan.recovery_status = "written_off"
        case recovery.ClawbackDemanded():
            loan.clawback_fen += event.amount
            loan.recovery_status = "clawback"
        case recovery.RecoveryClosed():
            loan.overdue_fen = 0
            loan.recovery_status = "written_off" if loan.recovery_status == "written_off" else "closed"


def reductions(history: History) -> dict[str, Decimal]:
    """What sanctions withhold from later compensation, by payee (sanction.institution, 四(二))."""
    sanctions = history.of(review.InstitutionSanctioned)
    return {event.institution: event.reduction or Decimal(0) for _, event in sanctions if event.measure == "reduce"}


def money_checks(history: History, loans: Iterable[Loan], words: Wording, period: Period | None = None) -> list[Check]:
    """What these loans were paid and gave back (in a period), against the ledger's own lines."""
    ones = list(loans)
    whole = period is None
    paid = [one for loan in ones for one in loan.paid if whole or (period and one.on in period)]
    back = [one for loan in ones for one in loan.returned if whole or (period and one.on in period)]
    checks = [
        Check(
            words("代偿到账"), sum(one.fen for one in paid),
            ledger_fen(history.lines, "instructed", {one.position for one in paid}),
        ),
    ]  # fmt: skip
    for purpose, account, label in (("recovery", "recovered", "追偿返还"), ("clawback", "clawed_back", "收回补偿资金")):
        some = [one for one in back if one.purpose == purpose]
        booked = -ledger_fen(history.lines, account, {one.position for one in some})
        checks.append(Check(words(label), sum(one.applied_fen for one in some), booked))
    return checks
