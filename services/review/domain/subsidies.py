"""The premium subsidy of an insured loan: application and approval (scheme.md section 5, pool.subsidy)."""

from datetime import date
from typing import Literal

from services.review.domain.loans import Loan
from services.review.policy import ReviewPolicy
from shared.contracts.base import Day, Event, Shape
from shared.contracts.commands import ApproveSubsidy, Premium
from shared.contracts.review import SubsidyApplied, SubsidyApproved, SubsidyRefused
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_rate, format_yuan, multiply


class Subsidy(Shape):
    """A subsidy applied for on one insurance policy; money in fen."""

    policy_no: str
    loan_no: str
    uscc: str
    insurer: str
    status: Literal["applied", "approved", "refused"] = "applied"
    premium_fen: int
    amount_fen: int
    paid_on: Day
    valid_to: Day


def subsidy_keys(event: Event) -> tuple[str, ...]:
    """The policy that an event is about."""
    return (event.policy_no,) if isinstance(event, (SubsidyApplied, SubsidyApproved, SubsidyRefused)) else ()


def evolve_subsidy(subsidy: Subsidy | None, event: Event) -> Subsidy | None:
    """The subsidy after an event; none before it is applied for."""
    if isinstance(event, SubsidyApplied):
        return Subsidy(
            policy_no=event.policy_no,
            loan_no=event.loan_no,
            uscc=event.uscc,
            insurer=event.insurer,
            premium_fen=event.premium,
            amount_fen=event.amount,
            paid_on=event.paid_on,
            valid_to=event.valid_to,
        )
    if subsidy is None:
        return None
    match event:
        case SubsidyApproved():
            return subsidy.model_copy(update={"status": "approved"})
        case SubsidyRefused():
            return subsidy.model_copy(update={"status": "refused"})
        case _:
            return subsidy


def decide_reported_premium(
    subsidy: Subsidy | None, loan: Loan | None, premium: Premium, insurer: str, today: date, policy: ReviewPolicy
) -> Decision:
    """The loan's own insurer reports the premium that the enterprise paid (pool.subsidy, 二(五)3)."""
    if loan is not None and loan.insurer is not None and insurer != loan.insurer:
        return Refusal("permission", "loan_insurer", {"loan_no": loan.loan_no, "insurer": loan.insurer})
    return decide_application(subsidy, loan, premium, today, policy)


def decide_application(
    subsidy: Subsidy | None, loan: Loan | None, premium: Premium, today: date, policy: ReviewPolicy
) -> Decision:
    """Apply for a share of a paid premium, once a policy, on the scheme's proofs (pool.subsidy, 三(八)).

    A refused application may be made again; the same one repeated while it stands is a duplicate.
    """
    if loan is None:
        return Refusal("unknown", "loan", {"loan_no": premium.loan_no})
    if subsidy is not None and subsidy.status != "refused":
        figures = {"policy_no": subsidy.policy_no, "status": subsidy.status}
        return Accepted(duplicate=True) if _same(subsidy, premium) else Refusal("pool.subsidy", "once", figures)
    refusal = _not_insured(loan, premium) or _not_proved(premium, today, policy)
    if refusal:
        return refusal
    amount = multiply(premium.premium, policy.subsidy_rate)
    figures = {
        "premium": format_yuan(premium.premium),
        "rate": format_rate(policy.subsidy_rate),
        "amount": format_yuan(amount),
    }
    event = SubsidyApplied(
        uscc=loan.uscc,
        loan_no=loan.loan_no,
        policy_no=premium.policy_no,
        insurer=loan.insurer or "",
        premium=premium.premium,
        amount=amount,
        paid_on=premium.paid_on,
        valid_to=premium.valid_to,
        applied_on=today,
        why=policy.why("pool.subsidy", **figures),
    )
    return Accepted((event,), {"policy_no": premium.policy_no, "amount": figures["amount"]})


def decide_approval(subsidy: Subsidy | None, command: ApproveSubsidy, today: date, policy: ReviewPolicy) -> Decision:
    """DRC approves or refuses an application, once, a refusal with its reason (pool.subsidy)."""
    if subsidy is None:
        return Refusal("unknown", "policy", {"policy_no": command.policy_no})
    figures = {"policy_no": subsidy.policy_no, "amount": format_yuan(subsidy.amount_fen)}
    if subsidy.status != "applied":
        return Refusal("pool.subsidy", "decided", figures | {"status": subsidy.status})
    about = {"uscc": subsidy.uscc, "loan_no": subsidy.loan_no, "policy_no": subsidy.policy_no}
    why = policy.why("pool.subsidy", **figures)
    if command.decision == "approve":
        return Accepted((SubsidyApproved(**about, amount=subsidy.amount_fen, approved_on=today, why=why),))
    if not (command.reason or "").strip():
        return Refusal("pool.subsidy", "reason", figures)
    return Accepted((SubsidyRefused(**about, reason=command.reason or "", why=why),))


def _same(subsidy: Subsidy, premium: Premium) -> bool:
    return (subsidy.loan_no, subsidy.uscc, subsidy.premium_fen, subsidy.paid_on, subsidy.valid_to) == (
        premium.loan_no, premium.uscc, premium.premium, premium.paid_on, premium.valid_to,
    )


def _not_insured(loan: Loan, premium: Premium) -> Refusal | None:
    figures = {"loan_no": loan.loan_no, "uscc": loan.uscc, "product": loan.product}
    if premium.uscc != loan.uscc:
        return Refusal("pool.subsidy", "enterprise", figures | {"given": premium.uscc})
    if loan.product != "insurance":
        return Refusal("pool.subsidy", "product", figures)
    if loan.uncovered:
        return Refusal("pool.subsidy", "uncovered", figures)
    return None


def _not_proved(premium: Premium, today: date, policy: ReviewPolicy) -> Refusal | None:
    missing = [each for each in policy.subsidy_documents if each not in premium.documents]
    if missing:
        return Refusal("pool.subsidy", "documents", {"missing": ", ".join(missing)})
    figures = {"policy_no": premium.policy_no, "today": today.isoformat()}
    if premium.valid_to < today:
        return Refusal("pool.subsidy", "expired", figures | {"valid_to": premium.valid_to.isoformat()})
    if premium.paid_on > today:
        return Refusal("pool.subsidy", "future", figures | {"paid_on": premium.paid_on.isoformat()})
    return None
