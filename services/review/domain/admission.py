"""What the referral service announced of an enterprise: a case opens, is barred, or is withdrawn."""

from collections.abc import Sequence

from services.review.domain.cases import Case
from services.review.domain.coverage import close
from services.review.domain.panel import freed_slot
from services.review.policy import ReviewPolicy
from shared.contracts.referral import EnterpriseAdmitted, EnterpriseBarred
from shared.contracts.review import CaseBarred, CaseOpened
from shared.decisions import Accepted


def identity(number: str) -> str:
    """An identity number as it is compared."""
    return number.strip().upper()


def decide_opening(case: Case | None, admitted: EnterpriseAdmitted, policy: ReviewPolicy) -> Accepted:
    """Open the case of an admitted enterprise; a financed one stays as it is (三(二), 三(三))."""
    if case is not None and case.status == "financed":
        return Accepted(duplicate=True)
    return Accepted((
        *(freed_slot(case, policy) if case else ()),
        CaseOpened(
            uscc=admitted.uscc,
            name=admitted.name,
            recommender=admitted.recommender,
            need=admitted.need,
            affiliates=admitted.affiliates,
            shareholders=admitted.shareholders,
            admitted_on=admitted.admitted_on,
            legal_representative=identity(admitted.legal_representative.id),
        ),
    ))


def decide_bar(cases: Sequence[Case], barred: EnterpriseBarred, policy: ReviewPolicy) -> Accepted:
    """Bar the cases of the enterprise and of its legal representative (eligible.bar, 四)."""
    why = policy.why("eligible.bar", until=barred.until.isoformat(), decided_for=barred.uscc)
    return Accepted(tuple(
        CaseBarred(uscc=case.uscc, until=barred.until, barred_on=barred.barred_on, why=why) for case in cases
    ))


def decide_withdrawal(case: Case | None, policy: ReviewPolicy) -> Accepted:
    """The recommender took its referral back: an open case ends (三(一))."""
    if case is None or not case.is_open:
        return Accepted(duplicate=True)
    return Accepted(close(case, "withdrawn", "eligible.recommender", policy, status=case.status))
