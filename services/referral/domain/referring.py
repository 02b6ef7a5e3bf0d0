"""A recommender's own acts: to refer, amend and withdraw an enterprise, and to follow it up after its loan."""

from dataclasses import replace
from datetime import date

from services.referral.domain.case import SCREENABLE, WITHDRAWABLE, Case
from services.referral.domain.findings import Applicant, Surroundings, applicant_of, examine, size_of
from services.referral.policy import ReferralPolicy
from shared.calendar import add_months
from shared.contracts.base import Finding
from shared.contracts.commands import AmendReferral, Application, RecordTracking, ReferEnterprise, WithdrawReferral
from shared.contracts.referral import (
    AnomalyReported,
    EnterpriseReferred,
    ReferralAmended,
    ReferralWithdrawn,
    TrackingRecorded,
)
from shared.decisions import Accepted, Decision, Refusal
from shared.uscc import problem_with

_MOST_EMPLOYEES = 10_000_000


def decide_refer(
    case: Case | None, command: ReferEnterprise, sender: str, around: Surroundings, today: date, policy: ReferralPolicy
) -> Decision:
    """eligible.term, .recommender, .code and .open_case refuse a referral; the rest are findings (三(一))."""
    refusal = (
        _outside_term(today, policy)
        or _not_a_recommender(command.letter_no, sender, policy)
        or _bad_code(command.uscc)
        or (_still_open(case) if case else None)
    )
    if refusal:
        return refusal
    application = application_of(command)
    applicant = Applicant(command.uscc, application, today)
    if case:
        applicant = replace(applicant, failures=case.failures, loan_nos=case.loan_nos)
    findings = examine(applicant, around, today, policy)
    referred = EnterpriseReferred(
        uscc=command.uscc, recommender=sender, referred_on=today, application=application, size=size_of(findings),
        findings=findings, attempt=case.attempt + 1 if case else 1,
        why=policy.why("eligible.recommender", recommender=sender, letter_no=command.letter_no),
    )
    return Accepted((referred,), _result(command.uscc, "referred", findings))


def application_of(command: ReferEnterprise) -> Application:
    """The part of a referral that describes the enterprise."""
    return Application(**{name: getattr(command, name) for name in Application.model_fields})


def _outside_term(today: date, policy: ReferralPolicy) -> Refusal | None:
    """eligible.term (六): from the effective date, for the scheme's years; the anniversary is too late."""
    ends = add_months(policy.effective_from, 12 * policy.years)
    if policy.effective_from <= today < ends:
        return None
    figures = {"today": today.isoformat(), "from": policy.effective_from.isoformat(), "ends": ends.isoformat()}
    return Refusal("eligible.term", "over" if today >= ends else "", figures)


def _not_a_recommender(letter_no: str, sender: str, policy: ReferralPolicy) -> Refusal | None:
    """eligible.recommender (三(一)): a listed department or township, with a letter number."""
    organisation = policy.organisations.get(sender)
    if organisation is None or organisation.kind not in ("department", "township"):
        return Refusal("eligible.recommender", figures={"recommender": sender})
    return None if letter_no.strip() else Refusal("eligible.recommender", "letter", {"recommender": sender})


def _bad_code(code: str) -> Refusal | None:
    """eligible.code (二(一)): 18 characters and both check characters right; the region digits never decide."""
    problem = problem_with(code)
    return Refusal("eligible.code", problem, {"uscc": code, "length": str(len(code))}) if problem else None


def _still_open(case: Case) -> Refusal | None:
    """eligible.open_case (二(三)2): no case in progress; the refusal names it."""
    if not case.is_open:
        return None
    figures = {"uscc": case.uscc, "name": case.application.name, "status": case.status, "recommender": case.recommender,
               "referred_on": case.referred_on.isoformat(), "loan_no": ", ".join(case.loan_nos)}
    return Refusal("eligible.open_case", "financed" if case.status == "financed" else "", figures)


def decide_amend(
    case: Case | None, command: AmendReferral, sender: str, around: Surroundings, today: date, policy: ReferralPolicy
) -> Decision:
    """The recommender amends its referral while it is screened or returned; every finding is made anew."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    changes = amendments(command)
    refusal = (
        not_its_recommender(case, sender)
        or _wrong_state(case, SCREENABLE, "not_amendable")
        or _bad_amendment(changes)
        or _not_a_recommender(str(changes.get("letter_no", case.application.letter_no)), sender, policy)
    )
    if refusal:
        return refusal
    application = case.application.model_copy(update=changes)
    findings = examine(replace(applicant_of(case), application=application), around, today, policy)
    amended = ReferralAmended(
        uscc=case.uscc, changes=command, application=application, size=size_of(findings), findings=findings,
        why=policy.why("eligible.recommender", recommender=sender, changed=", ".join(sorted(changes))),
    )
    return Accepted((amended,), _result(case.uscc, "referred", findings))


def amendments(command: AmendReferral) -> dict[str, object]:
    """The fields that an amendment gives."""
    return {name: value for name in Application.model_fields if (value := getattr(command, name)) is not None}


def _bad_amendment(changes: dict[str, object]) -> Refusal | None:
    if not changes:
        return Refusal("malformed", "no_change")
    employees = changes.get("employees")
    if isinstance(employees, int) and not 0 <= employees <= _MOST_EMPLOYEES:
        return Refusal("malformed", "employees", {"employees": str(employees)})
    return None


def decide_withdraw(case: Case | None, command: WithdrawReferral, sender: str, policy: ReferralPolicy) -> Decision:
    """The recommender takes its referral back before a loan is disbursed."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    refusal = not_its_recommender(case, sender) or _wrong_state(case, WITHDRAWABLE, "not_withdrawable")
    if refusal:
        return refusal
    why = policy.why("eligible.recommender", recommender=sender)
    withdrawn = ReferralWithdrawn(uscc=case.uscc, reason=command.reason, why=why)
    return Accepted((withdrawn,), {"uscc": case.uscc, "status": "withdrawn"})


def decide_track(
    case: Case | None, command: RecordTracking, sender: str, today: date, policy: ReferralPolicy
) -> Decision:
    """tracking (四(一), 五): the recommender records a follow-up or its help; an anomaly is reported at once."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if refusal := not_its_recommender(case, sender):
        return refusal
    why = policy.why("tracking", recommender=sender)
    tracked = TrackingRecorded(uscc=case.uscc, by=sender, note=command.note, anomaly=command.anomaly, kind=command.kind,
                               recorded_on=today, why=why)
    if not command.anomaly:
        return Accepted((tracked,))
    anomaly = AnomalyReported(uscc=case.uscc, by=sender, note=command.note, recorded_on=today, why=why)
    return Accepted((tracked, anomaly))


def not_its_recommender(case: Case, sender: str) -> Refusal | None:
    """Only the organisation that referred the enterprise acts on its referral."""
    if sender == case.recommender:
        return None
    return Refusal("permission", "recommender", {"uscc": case.uscc, "recommender": case.recommender})


def _wrong_state(case: Case, allowed: tuple[str, ...], reason: str) -> Refusal | None:
    if case.status in allowed:
        return None
    return Refusal("eligible.open_case", reason, {"uscc": case.uscc, "status": case.status})


def _result(uscc: str, status: str, findings: tuple[Finding, ...]) -> dict[str, object]:
    return {"uscc": uscc, "status": status, "findings": [finding.model_dump(mode="json") for finding in findings]}
