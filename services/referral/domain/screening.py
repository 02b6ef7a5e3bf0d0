"""DRC's screening: what was found, what may be waived, and the decision (三(二))."""

from datetime import date

from services.referral.domain.case import SCREENABLE, Case
from services.referral.domain.findings import Surroundings, applicant_of, examine, group_of
from services.referral.policy import ReferralPolicy
from shared.contracts.base import Event, Finding, Why
from shared.contracts.commands import RecordFinding, ScreenReferral, Waiver
from shared.contracts.referral import EnterpriseAdmitted, ReferralRefused, ReferralReturned, ScreeningFindingRecorded
from shared.decisions import Accepted, Decision, Refusal


def decide_note(
    case: Case | None, command: RecordFinding, sender: str, today: date, policy: ReferralPolicy
) -> Decision:
    """DRC or a bank adds what its own data say (三(二)); an adverse note is flagged at screening."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status not in SCREENABLE:
        return Refusal("eligible.open_case", "not_screening", {"uscc": case.uscc, "status": case.status})
    noted = ScreeningFindingRecorded(uscc=case.uscc, by=sender, note=command.note, adverse=command.adverse,
                                     recorded_on=today, why=policy.why("eligible.clean_record", by=sender))
    return Accepted((noted,))


def decide_screen(
    case: Case | None, command: ScreenReferral, around: Surroundings, today: date, policy: ReferralPolicy
) -> Decision:
    """DRC admits, returns for supplement or refuses; never past a failed rule that is not waivable (三(二))."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status not in SCREENABLE:
        return Refusal("eligible.open_case", "not_screening", {"uscc": case.uscc, "status": case.status})
    findings = examine(applicant_of(case), around, today, policy)
    if command.decision == "admit":
        return _admit(case, command.waivers, findings, around, today, policy)
    reason = (command.reason or "").strip()
    if not reason:
        return Refusal("malformed", "screening_reason", {"decision": command.decision}, findings)
    if command.decision == "return":
        return _answer(ReferralReturned(uscc=case.uscc, reason=reason, findings=findings, why=_why(findings)), findings)
    return _answer(ReferralRefused(uscc=case.uscc, reason=reason, findings=findings, why=_why(findings)), findings)


def _admit(
    case: Case, waivers: tuple[Waiver, ...], findings: tuple[Finding, ...], around: Surroundings, today: date,
    policy: ReferralPolicy,
) -> Decision:
    if refusal := _bad_waiver(waivers, findings, policy):
        return refusal
    findings = tuple(_waive(finding, waivers) for finding in findings)
    failing = next((finding for finding in findings if finding.result == "fail"), None)
    if failing:
        figures = {"uscc": case.uscc, **failing.figures}
        return Refusal(failing.rule, failing.figures.get("reason", ""), figures, findings)
    application = case.application
    admitted = EnterpriseAdmitted(
        uscc=case.uscc, name=application.name, recommender=case.recommender, need=application.need,
        need_waived=any(f.rule == "eligible.need_cap" and f.result == "waived" for f in findings),
        sector=application.sector, legal_representative=application.legal_representative,
        affiliates=affiliates_of(case, around, policy), shareholders=shareholders_of(case), findings=findings,
        admitted_on=today, why=_why(findings),
    )
    return _answer(admitted, findings)


def affiliates_of(case: Case, around: Surroundings, policy: ReferralPolicy) -> tuple[str, ...]:
    """The codes of the affiliates known so far; a mere shareholding, under the threshold, makes none."""
    links = group_of(applicant_of(case), around, policy)
    return tuple(sorted(code for code, link in links.items() if link != "shareholder"))


def shareholders_of(case: Case) -> tuple[str, ...]:
    """The codes of the enterprises that hold a share of it, however small."""
    return tuple(sorted({holder.uscc for holder in case.application.shareholders if holder.uscc}))


def _bad_waiver(waivers: tuple[Waiver, ...], findings: tuple[Finding, ...], policy: ReferralPolicy) -> Refusal | None:
    """Only the need cap is waivable, where the scheme says "in principle" (eligible.need_cap), and with a reason."""
    checked = {finding.rule for finding in findings}
    for waiver in waivers:
        if waiver.rule not in checked:
            return Refusal("malformed", "waiver_rule", {"waived": waiver.rule}, findings)
        if waiver.rule != "eligible.need_cap" or not policy.need_cap_principle:
            return Refusal(waiver.rule, "not_waivable", {"waived": waiver.rule}, findings)
        if not waiver.reason.strip():
            return Refusal("malformed", "waiver_reason", {"waived": waiver.rule}, findings)
    return None


def _waive(finding: Finding, waivers: tuple[Waiver, ...]) -> Finding:
    waiver = next((waiver for waiver in waivers if waiver.rule == finding.rule), None)
    if waiver is None or finding.result != "fail":
        return finding
    return finding.model_copy(update={"result": "waived", "figures": {**finding.figures, "waiver": waiver.reason}})


def _why(findings: tuple[Finding, ...]) -> Why:
    """The finding that a decision rests on: the first that failed, else that was waived, else the first."""
    found = next((f for wanted in ("fail", "waived") for f in findings if f.result == wanted), findings[0])
    return Why(rule=found.rule, clause=found.clause, figures=found.figures)


def _answer(event: Event, findings: tuple[Finding, ...]) -> Accepted:
    return Accepted((event,), {"findings": [finding.model_dump(mode="json") for finding in findings]})
