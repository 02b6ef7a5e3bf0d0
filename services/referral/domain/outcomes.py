"""What became of an admitted enterprise, as review, pool and recovery announced it."""

from services.referral.domain.case import SCREENABLE, Case
from services.referral.domain.findings import Applicant, Surroundings, applicant_of, group_of
from services.referral.domain.group import identity
from services.referral.policy import ReferralPolicy
from shared.contracts.base import Event
from shared.contracts.referral import FinancingFailureNoted, LoanNoted, ReferralClosed
from shared.contracts.review import CaseClosed, FinancingExhausted, FinancingFailed, LoanCovered, PrincipalRepaid
from shared.decisions import Accepted


def decide_failed(case: Case | None, failed: FinancingFailed | FinancingExhausted, policy: ReferralPolicy) -> Accepted:
    """eligible.attempts (三(四)): failed financings of an enterprise count for life."""
    if case is None or failed.failures <= case.failures:
        return Accepted()
    why = policy.why("eligible.attempts", failures=str(failed.failures), allowed=str(policy.max_failures))
    return Accepted((FinancingFailureNoted(uscc=case.uscc, failures=failed.failures, why=why),))


def decide_exhausted(case: Case | None, exhausted: FinancingExhausted, policy: ReferralPolicy) -> Accepted:
    """eligible.attempts (三(四)): the case ends with the last failure that the scheme allows."""
    noted = decide_failed(case, exhausted, policy).events
    return Accepted((*noted, *decide_end(case, "exhausted", "eligible.attempts", policy).events))


def decide_end(case: Case | None, outcome: str, rule: str, policy: ReferralPolicy) -> Accepted:
    """The admitted case ended in review: the enterprise may be referred again later."""
    if case is None or case.status != "admitted":
        return Accepted()
    return Accepted((_closed(case, outcome, rule, policy),))


def decide_closed(case: Case | None, closed: CaseClosed, policy: ReferralPolicy) -> Accepted:
    """Review closed the case; a withdrawal is the recommender's own and has ended the referral already."""
    return Accepted() if closed.outcome == "withdrawn" else decide_end(case, closed.outcome, closed.rule, policy)


def decide_covered(case: Case | None, covered: LoanCovered, around: Surroundings, policy: ReferralPolicy) -> Accepted:
    """eligible.once (二(一)): the first disbursement wins; those of its group still in screening are closed."""
    if case is None or covered.loan_no in case.loan_nos:
        return Accepted()
    why = policy.why("eligible.once", loan_no=covered.loan_no)
    events: list[Event] = [LoanNoted(uscc=case.uscc, loan_no=covered.loan_no, why=why)]
    applicant = applicant_of(case)
    shut_out = shut_out_by(applicant, around, policy)
    events += [_closed(other, "closed", "eligible.once", policy) for other in around.cases
               if other.status in SCREENABLE and other.uscc in shut_out]
    return Accepted(tuple(events))


def shut_out_by(applicant: Applicant, around: Surroundings, policy: ReferralPolicy) -> frozenset[str]:
    """The codes that a loan of this enterprise shuts out: its affiliates, and its shareholders at any share."""
    affiliated = {code for code, link in group_of(applicant, around, policy).items() if link != "shareholder"}
    return frozenset(affiliated | {case.uscc for case in around.cases if identity(case.uscc) in applicant.firm.holders})


def misses_loan(case: Case | None, loan_no: str) -> bool:
    """Whether a covered loan of the case has not been noted yet."""
    return case is not None and loan_no not in case.loan_nos


def decide_repaid(case: Case | None, repaid: PrincipalRepaid, policy: ReferralPolicy) -> Accepted:
    """eligible.open_case (二(三)2): a financed case is open until its loan is repaid."""
    return Accepted() if repaid.outstanding else _end_loan(case, "repaid", "eligible.open_case", policy)


def decide_recovered(case: Case | None, policy: ReferralPolicy) -> Accepted:
    """eligible.open_case (二(三)2): a compensated case is open until the pool has back what it paid."""
    return _end_loan(case, "recovered", "recovery.share", policy)


def _end_loan(case: Case | None, outcome: str, rule: str, policy: ReferralPolicy) -> Accepted:
    if case is None or case.status != "financed":
        return Accepted()
    return Accepted((_closed(case, outcome, rule, policy),))


def _closed(case: Case, outcome: str, rule: str, policy: ReferralPolicy) -> ReferralClosed:
    return ReferralClosed(uscc=case.uscc, outcome=outcome, rule=rule, why=policy.why(rule))
