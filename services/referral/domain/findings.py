"""Every rule of eligibility checked at once, each with the figures it was decided on (scheme.md section 1)."""

from dataclasses import dataclass
from datetime import date

from services.referral.domain.bars import Bar
from services.referral.domain.case import Case, Note
from services.referral.domain.group import Firm, affiliates, firm_of, holdings, identity
from services.referral.policy import ReferralPolicy
from shared.calendar import add_months
from shared.contracts.base import Finding
from shared.contracts.commands import AdverseRecord, Application
from shared.money import format_yuan
from shared.scheme.size import MissingFigure, UnknownIndustry, classify

RECORDED_PARTIES = ("enterprise", "actual_controller")


@dataclass(frozen=True)
class Surroundings:
    """What else counts: the cases tied to the enterprise by a holding or a controller, and the bars not yet over."""

    cases: tuple[Case, ...] = ()
    bars: tuple[Bar, ...] = ()

    def firms(self) -> dict[str, Firm]:
        """The tied enterprises as their referrals describe them, by code."""
        return {case.uscc: firm_of(case.uscc, case.application) for case in self.cases}


@dataclass(frozen=True)
class Applicant:
    """The enterprise to be examined: what its referral says, when it was referred, what counts for life."""

    uscc: str
    application: Application
    referred_on: date
    failures: int = 0
    loan_nos: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def firm(self) -> Firm:
        """Its controller and holders."""
        return firm_of(self.uscc, self.application)


def applicant_of(case: Case) -> Applicant:
    """The applicant of a case as it stands."""
    return Applicant(case.uscc, case.application, case.referred_on, case.failures, case.loan_nos, case.notes)


def examine(applicant: Applicant, around: Surroundings, today: date, policy: ReferralPolicy) -> tuple[Finding, ...]:
    """All findings in the order in which the first failing one names the refusal."""
    return (
        _registered(applicant, policy),
        _project(applicant, policy),
        size_finding(applicant.application, policy),
        _clean_record(applicant, policy),
        _need_cap(applicant, policy),
        _materials(applicant, policy),
        _once(applicant, around, policy),
        _bar(applicant, around, today, policy),
        _attempts(applicant, policy),
        _priority(applicant, policy),
    )


def size_of(findings: tuple[Finding, ...]) -> str:
    """The size class that the findings established, empty when a figure is missing."""
    return next((f.figures.get("size", "") for f in findings if f.rule == "eligible.size"), "")


def _registered(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """eligible.registered (二(一)): in the region, status active."""
    application = applicant.application
    figures = {"region": application.region, "registration": application.registration, "needed": policy.region}
    if application.region != policy.region:
        return policy.finding("eligible.registered", "fail", **figures)
    if application.registration != "active":
        return policy.finding("eligible.registered", "fail", reason="status", **figures)
    return policy.finding("eligible.registered", "pass", **figures)


def _project(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """eligible.project (二(一)): a concrete business project, not empty."""
    project = applicant.application.project.strip()
    return policy.finding("eligible.project", "pass" if project else "fail", project=project)


def size_finding(application: Application, policy: ReferralPolicy) -> Finding:
    """eligible.size (二(一)): micro, small or medium; a needed figure that is missing fails, it is never zero."""
    try:
        found = classify(policy.size_standard, application.industry, application.employees,
                         application.revenue, application.assets)
    except MissingFigure as missing:
        figures = {"reason": "missing", "missing": missing.name, "industry": application.industry}
        return policy.finding("eligible.size", "fail", **figures)
    except UnknownIndustry:
        return policy.finding("eligible.size", "fail", reason="industry", industry=application.industry)
    if found.size == "large":
        return policy.finding("eligible.size", "fail", **found.figures)
    if found.micro_with_large_indicator:
        return policy.finding("eligible.size", "flag", flag="micro_with_large_indicator", **found.figures)
    return policy.finding("eligible.size", "pass", **found.figures)


def _clean_record(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """eligible.clean_record (二(一)): no adverse record of enterprise or controller within 24 months before.

    Records of other parties and adverse notes of DRC or a bank are flagged: DRC weighs them.
    """
    since = add_months(applicant.referred_on, -policy.clean_months)
    recent = [record for record in applicant.application.adverse_records if record.date >= since]
    counting = [record for record in recent if record.party in RECORDED_PARTIES]
    if counting:
        return policy.finding("eligible.clean_record", "fail", since=since.isoformat(), records=_listed(counting))
    figures = {"since": since.isoformat()}
    if recent:
        figures["records"] = _listed(recent)
    if adverse := [f"{note.by}: {note.note}" for note in applicant.notes if note.adverse]:
        figures["notes"] = "; ".join(adverse)
    return policy.finding("eligible.clean_record", "flag" if len(figures) > 1 else "pass", **figures)


def _listed(records: list[AdverseRecord]) -> str:
    return "; ".join(f"{record.party} {record.kind} {record.date.isoformat()}" for record in records)


def _need_cap(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """eligible.need_cap (二(一)): the need is at most the cap, inclusive."""
    need_fen = applicant.application.need
    result = "fail" if need_fen > policy.need_cap_fen else "pass"
    return policy.finding("eligible.need_cap", result, need=format_yuan(need_fen), cap=format_yuan(policy.need_cap_fen))


def _materials(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """eligible.materials (二(三)3): every document of the list; the missing ones are named."""
    missing = [kind for kind in policy.materials if kind not in applicant.application.materials]
    if missing:
        return policy.finding("eligible.materials", "fail", missing=", ".join(missing))
    return policy.finding("eligible.materials", "pass", given=str(len(policy.materials)))


def taken_by(applicant: Applicant, around: Surroundings, policy: ReferralPolicy) -> dict[str, str]:
    """The financed enterprises that shut this one out, and by which link (eligible.once)."""
    links = group_of(applicant, around, policy)
    return {case.uscc: links[case.uscc] for case in around.cases if case.loan_nos and case.uscc in links}


def group_of(applicant: Applicant, around: Surroundings, policy: ReferralPolicy) -> dict[str, str]:
    """Its affiliates, and the enterprises it is itself a shareholder of, by code with the link."""
    firms = around.firms()
    owned = {code: "shareholder" for code, firm in firms.items() if identity(applicant.uscc) in firm.holders}
    return {**owned, **affiliates(applicant.firm, firms, policy.affiliate_threshold)}


def _once(applicant: Applicant, around: Surroundings, policy: ReferralPolicy) -> Finding:
    """eligible.once (二(一)): one loan for life; affiliates and shareholders of a financed enterprise are shut out."""
    if applicant.loan_nos:
        return policy.finding("eligible.once", "fail", reason="own", loan_no=", ".join(applicant.loan_nos))
    taken = taken_by(applicant, around, policy)
    if taken:
        first = next(case for case in around.cases if case.uscc in taken)
        return policy.finding(
            "eligible.once", "fail", enterprise=first.uscc, name=first.application.name, link=taken[first.uscc],
            enterprises=", ".join(sorted(taken)), threshold=str(policy.affiliate_threshold),
        )
    holders = applicant.application.shareholders
    if unknown := [holder.name for holder in holders if not identity(holder.uscc or holder.id or "")]:
        return policy.finding("eligible.once", "flag", unidentified=", ".join(unknown))
    return policy.finding("eligible.once", "pass", threshold=str(policy.affiliate_threshold))


def _bar(applicant: Applicant, around: Surroundings, today: date, policy: ReferralPolicy) -> Finding:
    """eligible.bar (四(三)): the barred enterprise, its legal representative, any enterprise of that representative."""
    for bar in around.bars:
        if bar.holds_on(today) and (link := _barred_by(bar, applicant, around, policy)):
            return policy.finding("eligible.bar", "fail", enterprise=bar.uscc, name=bar.name, link=link,
                                  representative=bar.legal_representative.name, until=bar.until.isoformat())
    return policy.finding("eligible.bar", "pass", years=str(policy.bar_years))


def _barred_by(bar: Bar, applicant: Applicant, around: Surroundings, policy: ReferralPolicy) -> str:
    """How a bar reaches the applicant; a person's enterprise is one that he represents, controls or largely holds."""
    person = identity(bar.legal_representative.id)
    if bar.uscc == applicant.uscc:
        return "enterprise"
    if identity(applicant.application.legal_representative.id) == person:
        return "legal_representative"
    if applicant.firm.controller == person:
        return "actual_controller"
    firms = {**around.firms(), applicant.firm.code: applicant.firm}
    return "holder" if applicant.firm.code in holdings(person, firms, policy.affiliate_threshold) else ""


def _attempts(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """eligible.attempts (三(四)): not pushed again, for life, after the scheme's number of failed financings."""
    result = "fail" if applicant.failures >= policy.max_failures else "pass"
    figures = {"failures": str(applicant.failures), "allowed": str(policy.max_failures)}
    return policy.finding("eligible.attempts", result, **figures)


def _priority(applicant: Applicant, policy: ReferralPolicy) -> Finding:
    """priority.sector (二(一)): tags that sort the list, never a filter."""
    application = applicant.application
    tags = [tag for tag in (application.sector, *application.traits)
            if tag in policy.priority_sectors or tag in policy.priority_traits]
    return policy.finding("priority.sector", "flag" if tags else "pass", tags=", ".join(tags))
