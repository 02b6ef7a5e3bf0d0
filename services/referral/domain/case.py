"""The case of one enterprise: what the referral service knows of it, folded from its own events."""

from typing import Literal

from services.referral.domain.group import parties_of
from shared.contracts.base import Day, Event, Finding, Shape
from shared.contracts.commands import Application
from shared.contracts.referral import (
    EnterpriseAdmitted,
    EnterpriseReferred,
    FinancingFailureNoted,
    LoanNoted,
    ReferralAmended,
    ReferralClosed,
    ReferralEvent,
    ReferralRefused,
    ReferralReturned,
    ReferralWithdrawn,
    ScreeningFindingRecorded,
)

CaseStatus = Literal["referred", "returned", "admitted", "refused", "withdrawn", "financed", "ended"]
SCREENABLE: tuple[CaseStatus, ...] = ("referred", "returned")
WITHDRAWABLE: tuple[CaseStatus, ...] = ("referred", "returned", "admitted")
OPEN: tuple[CaseStatus, ...] = ("referred", "returned", "admitted", "financed")


class Note(Shape):
    """What DRC or a bank noted at screening of the current attempt."""

    by: str
    note: str
    adverse: bool
    recorded_on: Day


class Case(Shape):
    """An enterprise's current attempt, and what counts for life: ``failures`` and ``loan_nos``.

    ``parties`` are the codes and identity numbers that tie it to others: its own, its controller's, its holders'.
    """

    uscc: str
    attempt: int
    status: CaseStatus
    recommender: str
    referred_on: Day
    application: Application
    size: str
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...] = ()
    failures: int = 0
    loan_nos: tuple[str, ...] = ()
    parties: tuple[str, ...]
    outcome: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the case is in progress (eligible.open_case); a financed one is until its loan has ended."""
        return self.status in OPEN


def case_keys(event: Event) -> tuple[str, ...]:
    """The case that an event changes."""
    return (event.uscc,) if isinstance(event, ReferralEvent) else ()


def evolve_case(state: Case | None, event: Event) -> Case | None:
    """The case after one of the service's own events."""
    if isinstance(event, EnterpriseReferred):
        return _referred(state, event)
    return state and _changed(state, event)


def _referred(state: Case | None, event: EnterpriseReferred) -> Case:
    return Case(
        uscc=event.uscc, attempt=event.attempt, status="referred", recommender=event.recommender,
        referred_on=event.referred_on, application=event.application, size=event.size, findings=event.findings,
        failures=state.failures if state else 0, loan_nos=state.loan_nos if state else (),
        parties=parties_of(event.uscc, event.application),
    )


def _changed(case: Case, event: Event) -> Case:
    changes: dict[str, object] = {}
    match event:
        case ReferralAmended():
            changes = {"status": "referred", "application": event.application, "size": event.size,
                       "findings": event.findings, "parties": parties_of(case.uscc, event.application)}
        case ScreeningFindingRecorded():
            note = Note(by=event.by, note=event.note, adverse=event.adverse, recorded_on=event.recorded_on)
            changes = {"notes": (*case.notes, note)}
        case EnterpriseAdmitted():
            changes = {"status": "admitted", "findings": event.findings}
        case ReferralReturned():
            changes = {"status": "returned", "findings": event.findings}
        case ReferralRefused():
            changes = {"status": "refused", "findings": event.findings}
        case ReferralWithdrawn():
            changes = {"status": "withdrawn"}
        case ReferralClosed():
            changes = {"status": "ended", "outcome": event.outcome}
        case FinancingFailureNoted():
            changes = {"failures": event.failures}
        case LoanNoted():
            changes = {"status": "financed", "loan_nos": (*case.loan_nos, event.loan_no)}
    return case.model_copy(update=changes)
