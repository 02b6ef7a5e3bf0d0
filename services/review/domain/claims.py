"""Filing a claim for a bad loan: who, what, how much, with which statements and until when (scheme.md section 4)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from services.review.domain.loans import Loan
from services.review.policy import ReviewPolicy
from shared.calendar import add_months
from shared.contracts.partners import LoanDefaulted
from shared.contracts.review import ClaimAccepted, ClaimRefused
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan


def decide_claim(
    loan: Loan | None,
    filed: LoanDefaulted,
    sender: str,
    compensated: Sequence[Loan],
    now: datetime,
    policy: ReviewPolicy,
) -> Decision:
    """Accept or refuse a claim, guards in the order of scheme.md section 4 with claim.product first.

    ``compensated`` are the compensated and still open loans of the scheme; ``now`` is Asia/Shanghai time.
    The base is what is outstanding, never above the need cap (claim.amount, 三(五)).
    """
    if loan is not None and _known(loan, filed, sender):
        return Accepted(duplicate=True)
    if loan is None:
        return _announced(Refusal("claim.party", "unknown", {"loan_no": filed.loan_no}), "", filed, sender, policy)
    refusal = (
        _product(loan)
        or _party(loan, sender)
        or _classified(loan, filed, now.date(), policy)
        or _amount(loan, filed)
        or _statement(filed, [each for each in compensated if each.belongs_to(sender)], now.date(), policy)
        or _deadline(loan, now.date(), policy)
    )
    if refusal:
        return _announced(refusal, loan.uscc, filed, sender, policy)
    event = _accepted(loan, filed, sender, now, policy)
    return Accepted((event,), {"base": format_yuan(event.base)})


def _known(loan: Loan, filed: LoanDefaulted, sender: str) -> bool:
    claim = loan.claim
    return claim is not None and (claim.claimant, claim.classified, claim.classified_on, claim.claimed_fen) == (
        sender, filed.classified, filed.classified_on, filed.outstanding_principal,
    )


def _product(loan: Loan) -> Refusal | None:
    """claim.product (二(五)3): an insured loan gets a premium subsidy instead of compensation."""
    if loan.product == "insurance":
        return Refusal("claim.product", "", {"loan_no": loan.loan_no, "product": loan.product})
    return None


def _party(loan: Loan, sender: str) -> Refusal | None:
    """claim.party: the lender, or the guarantor of a guaranteed loan; for a covered loan; once."""
    parties = (loan.lender,) if loan.product == "bank" else (loan.guarantor, loan.lender)
    figures = {"loan_no": loan.loan_no, "sender": sender}
    if sender not in parties:
        return Refusal("claim.party", "", figures)
    if loan.uncovered:
        return Refusal("claim.party", "uncovered", figures)
    if loan.claim is not None:
        claimed = {"claimant": loan.claim.claimant, "accepted_on": loan.claim.accepted_on.isoformat()}
        return Refusal("claim.party", "claimed", figures | claimed)
    return None


def _classified(loan: Loan, filed: LoanDefaulted, today: date, policy: ReviewPolicy) -> Refusal | None:
    """claim.classified: one of the scheme's bad classes, dated between disbursement and today."""
    figures = {
        "loan_no": loan.loan_no,
        "classified": filed.classified,
        "classes": ", ".join(policy.claim_classes),
        "classified_on": filed.classified_on.isoformat(),
        "disbursed_on": loan.disbursed_on.isoformat(),
        "today": today.isoformat(),
    }
    if filed.classified not in policy.claim_classes:
        return Refusal("claim.classified", "", figures)
    if filed.classified_on > today:
        return Refusal("claim.classified", "future", figures)
    if filed.classified_on < loan.disbursed_on:
        return Refusal("claim.classified", "early", figures)
    return None


def _amount(loan: Loan, filed: LoanDefaulted) -> Refusal | None:
    """claim.amount: outstanding principal at most what was disbursed and not repaid."""
    if filed.outstanding_principal > loan.outstanding_fen:
        return Refusal("claim.amount", "", _amounts(loan, filed))
    return None


def _amounts(loan: Loan, filed: LoanDefaulted) -> dict[str, str]:
    return {
        "loan_no": loan.loan_no,
        "claimed": format_yuan(filed.outstanding_principal),
        "disbursed": format_yuan(loan.principal_fen),
        "repaid": format_yuan(loan.repaid_fen),
        "outstanding": format_yuan(loan.outstanding_fen),
    }


def _statement(filed: LoanDefaulted, owed: Sequence[Loan], today: date, policy: ReviewPolicy) -> Refusal | None:
    """claim.statement (三(七)): a written statement of recent date on each compensated and still open loan."""
    oldest = today - timedelta(days=policy.claim_statement_days)
    given = {each.loan_no for each in filed.recovery_statements}
    valid = {each.loan_no for each in filed.recovery_statements if oldest <= each.as_of <= today}
    missing = [loan.loan_no for loan in owed if loan.loan_no not in valid]
    if not missing:
        return None
    figures = {
        "missing": ", ".join(missing),
        "days": str(policy.claim_statement_days),
        "from": oldest.isoformat(),
        "to": today.isoformat(),
    }
    return Refusal("claim.statement", "late" if given.issuperset(missing) else "", figures)


def _deadline(loan: Loan, today: date, policy: ReviewPolicy) -> Refusal | None:
    """claim.deadline: within the scheme's months after maturity."""
    last = add_months(loan.matures_on, policy.claim_deadline_months)
    if today > last:
        figures = {"matures_on": loan.matures_on.isoformat(), "last_day": last.isoformat(), "today": today.isoformat()}
        return Refusal("claim.deadline", "", figures | {"months": str(policy.claim_deadline_months)})
    return None


def _accepted(loan: Loan, filed: LoanDefaulted, sender: str, now: datetime, policy: ReviewPolicy) -> ClaimAccepted:
    if loan.payee is None:
        raise ValueError(f"loan {loan.loan_no} is covered without a payee")
    base = min(filed.outstanding_principal, policy.need_cap)
    figures = _amounts(loan, filed) | {"cap": format_yuan(policy.need_cap), "base": format_yuan(base)}
    return ClaimAccepted(
        uscc=loan.uscc,
        loan_no=loan.loan_no,
        claimant=sender,
        payee=loan.payee,
        classified=filed.classified,
        classified_on=filed.classified_on,
        claimed=filed.outstanding_principal,
        base=base,
        accepted_on=now.date(),
        accepted_at=now.isoformat(),
        evidence=filed.evidence,
        recovery_statements=filed.recovery_statements,
        why=policy.why("claim.amount", **figures),
    )


def _announced(refusal: Refusal, uscc: str, filed: LoanDefaulted, sender: str, policy: ReviewPolicy) -> Refusal:
    event = ClaimRefused(
        uscc=uscc,
        loan_no=filed.loan_no,
        claimant=sender,
        rule=refusal.rule,
        why=policy.why(refusal.rule, **refusal.figures),
    )
    return replace(refusal, events=(event,))
