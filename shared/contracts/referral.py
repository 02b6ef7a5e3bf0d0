"""Events of the referral service."""

from typing import ClassVar

from shared.contracts.base import Day, Event, Fen, Finding, Id, Name, Number, Text
from shared.contracts.commands import AmendReferral, Application, Person


class ReferralEvent(Event):
    """An event about one referred enterprise."""

    service: ClassVar[str] = "referral"
    uscc: Number


class EnterpriseReferred(ReferralEvent):
    """A department referred an enterprise; ``attempt`` counts its referrals."""

    recommender: Id
    referred_on: Day
    application: Application
    size: str
    findings: tuple[Finding, ...]
    attempt: int = 1


class ScreeningFindingRecorded(ReferralEvent):
    """DRC or a bank noted something at screening."""

    by: Id
    note: Name
    adverse: bool
    recorded_on: Day


class EnterpriseAdmitted(ReferralEvent):
    """DRC admitted the enterprise; ``affiliates`` and ``shareholders`` are the codes that share its one loan."""

    name: Name
    recommender: Id
    need: Fen
    need_waived: bool
    sector: Name
    legal_representative: Person
    affiliates: tuple[str, ...]
    shareholders: tuple[str, ...]
    findings: tuple[Finding, ...]
    admitted_on: Day


class ReferralReturned(ReferralEvent):
    """DRC sent the referral back for supplement."""

    reason: Text
    findings: tuple[Finding, ...]


class ReferralRefused(ReferralEvent):
    """DRC refused the referral."""

    reason: Text
    findings: tuple[Finding, ...]


class ReferralAmended(ReferralEvent):
    """The recommender amended the referral."""

    changes: AmendReferral
    application: Application
    size: str
    findings: tuple[Finding, ...]


class ReferralWithdrawn(ReferralEvent):
    """The recommender withdrew the referral."""

    reason: Name


class ReferralClosed(ReferralEvent):
    """The referral ended because its group's one loan is taken, or its case ended in review (``outcome``)."""

    outcome: str
    rule: str = ""


class FinancingFailureNoted(ReferralEvent):
    """Review reported a failed financing: counted for ``eligible.attempts``."""

    failures: int


class LoanNoted(ReferralEvent):
    """Review reported the enterprise's covered loan: counted for ``eligible.once``."""

    loan_no: Number


class EnterpriseBarred(ReferralEvent):
    """DRC barred an enterprise and its legal representative until a date."""

    name: Name
    legal_representative: Person
    barred_on: Day
    until: Day
    reason: Name


class TrackingRecorded(ReferralEvent):
    """The recommender recorded a follow-up or how it pressed for repayment."""

    by: Id
    note: Name
    anomaly: bool
    kind: str
    recorded_on: Day


class AnomalyReported(ReferralEvent):
    """The recommender reported an anomaly."""

    by: Id
    note: Name
    recorded_on: Day


class CompensationCounted(Event):
    """A compensated enterprise counted for its recommender's year."""

    service: ClassVar[str] = "referral"
    department: Id
    year: int
    uscc: Number
    loan_no: Text = ""


class DepartmentFlagged(Event):
    """A recommender has two compensated enterprises in one calendar year: for the assessment."""

    service: ClassVar[str] = "referral"
    department: Id
    year: int
    enterprises: tuple[str, ...]
