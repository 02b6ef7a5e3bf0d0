"""A reported disbursement: whether the fund covers the loan, and what the one loan means for the group (section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Literal

from services.review.domain.agreements import Agreement
from services.review.domain.cases import Case
from services.review.domain.financing import LENDER_KINDS, PARTNER_KIND
from services.review.domain.loans import Loan
from services.review.domain.panel import freed_slot
from services.review.policy import ReviewPolicy
from shared.calendar import add_months
from shared.contracts.base import Event
from shared.contracts.partners import LoanDisbursed
from shared.contracts.review import CaseClosed, LoanCovered, LoanNotCovered
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_rate, format_yuan

Agreements = Mapping[str, Agreement]


def decide_cover(
    case: Case | None,
    loan: Loan | None,
    report: LoanDisbursed,
    sender: str,
    agreements: Agreements,
    group: Sequence[Case],
    today: date,
    policy: ReviewPolicy,
) -> Decision:
    """Cover a disbursed loan, or say by the first failing rule why not (三(四), 二(五), 二(一)).

    ``loan`` is the one that already has this number, ``group`` the cases tied to this one. The first disbursement takes
    the group's one loan and closes the others (loan.once); a refusal announces LoanNotCovered all the same.
    """
    if case is not None and loan is not None and _known(case, loan, report, sender):
        return Accepted(result={"loan_no": report.loan_no}, duplicate=True)
    if case is None:
        return _announced(Refusal("loan.pushed", "no_case", {"uscc": report.uscc}), report, sender)
    refusal = (
        _not_pushed(case, sender)
        or _taken(case, group)
        or _wrong_product(case, report, sender, agreements)
        or _too_much(case, report)
        or _number_used(loan)
        or _out_of_term(report, policy)
        or _wrong_date(case, report, today)
        or _barred(case, report)
    )
    if refusal:
        return _announced(refusal, report, sender)
    covered = _covered(case, report, sender, agreements, policy)
    closed = (event for other in group if other.yields_to(case) for event in _closed(other, case, policy))
    return Accepted((covered, *closed), {"loan_no": report.loan_no})


def close(
    case: Case, outcome: Literal["closed", "withdrawn"], rule: str, policy: ReviewPolicy, **figures: str
) -> tuple[Event, ...]:
    """An open case ends for a reason outside it; its place in the year's quota is given back."""
    ended = CaseClosed(uscc=case.uscc, outcome=outcome, rule=rule, why=policy.why(rule, **figures))
    return (ended, *freed_slot(case, policy))


def _known(case: Case, loan: Loan, report: LoanDisbursed, sender: str) -> bool:
    same_terms = report.annual_rate == case.annual_rate and report.guarantor_share in (None, loan.guarantor_share)
    return same_terms and (
        (loan.lender, loan.uscc, loan.product, loan.principal_fen, loan.disbursed_on, loan.matures_on)
        == (sender, report.uscc, report.product, report.principal, report.disbursed_on, report.matures_on)
    )


def _announced(refusal: Refusal, report: LoanDisbursed, sender: str) -> Refusal:
    told = LoanNotCovered(uscc=report.uscc, loan_no=report.loan_no, lender=sender, rule=refusal.rule)
    return replace(refusal, events=(told,))


def _not_pushed(case: Case, sender: str) -> Refusal | None:
    """loan.pushed (三(四)): the sender is one of those the case was, and still is, pushed to."""
    figures = {"uscc": case.uscc, "institution": sender, "status": case.status}
    if sender not in case.institutions:
        return Refusal("loan.pushed", "", figures)
    if case.status == "pushed" or _is_taken(case):
        return None
    return Refusal("loan.pushed", "ended", figures)


def _is_taken(case: Case) -> bool:
    return case.status == "financed" or (case.status == "closed" and case.closed_by == "eligible.once")


def _taken(case: Case, group: Sequence[Case]) -> Refusal | None:
    """loan.once (二(一)): neither the enterprise nor its group has taken the one loan."""
    if case.status == "financed":
        return Refusal("loan.once", "", {"uscc": case.uscc, "loan_no": case.loan_no or ""})
    first = next((other for other in group if case.yields_to(other) and other.status == "financed"), None)
    if first is not None or _is_taken(case):
        other = {"other": first.uscc, "loan_no": first.loan_no or ""} if first else {}
        return Refusal("loan.once", "group", {"uscc": case.uscc} | other)
    return None


def _wrong_product(case: Case, report: LoanDisbursed, sender: str, agreements: Agreements) -> Refusal | None:
    """loan.product (二(五)): the pushed product, a fitting lender, the pushed guarantor or insurer that it names."""
    figures = {"product": report.product, "pushed": case.product or "", "institution": sender}
    if report.product != case.product:
        return Refusal("loan.product", "other", figures)
    lender = agreements.get(sender)
    if lender is None or lender.kind not in LENDER_KINDS[report.product]:
        return Refusal("loan.product", "sender", figures)
    kind = PARTNER_KIND[report.product]
    named = report.guarantor if kind == "guarantor" else report.insurer
    partner = agreements.get(named or "") if named in case.institutions else None
    if kind and (partner is None or partner.kind != kind):
        return Refusal("loan.product", f"named_{kind}", figures | {"named": named or "—"})
    if report.guarantor_share is not None and report.guarantor_share > 1:
        return Refusal("loan.product", "share", {"share": format_rate(report.guarantor_share)})
    return None


def _too_much(case: Case, report: LoanDisbursed) -> Refusal | None:
    """loan.cap (二(一)): at most the rated need."""
    if report.principal <= case.need_fen:
        return None
    return Refusal("loan.cap", "", {"principal": format_yuan(report.principal), "need": format_yuan(case.need_fen)})


def _number_used(loan: Loan | None) -> Refusal | None:
    """loan.number: a number belongs to one loan of the scheme."""
    return None if loan is None else Refusal("loan.number", "", {"loan_no": loan.loan_no})


def _out_of_term(report: LoanDisbursed, policy: ReviewPolicy) -> Refusal | None:
    """eligible.term (六): disbursed inside the scheme's years; its last day is the one before the anniversary."""
    first = policy.term_effective_from
    end = add_months(first, 12 * policy.term_years)
    if first <= report.disbursed_on < end:
        return None
    dates = {"disbursed_on": report.disbursed_on.isoformat(), "from": first.isoformat(), "end": end.isoformat()}
    return Refusal("eligible.term", "disbursed", dates)


def _wrong_date(case: Case, report: LoanDisbursed, today: date) -> Refusal | None:
    """loan.pushed: paid out after the push and not in the future."""
    if case.pushed_on is not None and case.pushed_on <= report.disbursed_on <= today:
        return None
    pushed_on = case.pushed_on.isoformat() if case.pushed_on else "—"
    dates = {"disbursed_on": report.disbursed_on.isoformat(), "pushed_on": pushed_on, "today": today.isoformat()}
    return Refusal("loan.pushed", "date", dates)


def _barred(case: Case, report: LoanDisbursed) -> Refusal | None:
    """eligible.bar (四): not paid out while the enterprise was already barred."""
    begun, until = case.barred_on, case.barred_until
    if begun is None or until is None or not begun <= report.disbursed_on <= until:
        return None
    return Refusal("eligible.bar", "case", {"uscc": case.uscc, "until": until.isoformat()})


def _covered(
    case: Case, report: LoanDisbursed, sender: str, agreements: Agreements, policy: ReviewPolicy
) -> LoanCovered:
    """Bank product: the lender is paid; guarantee: the guarantor, who shares; insurance: nobody (二(五))."""
    if case.ratio is None:
        raise ValueError(f"case {case.uscc} is pushed without a ratio")
    guarantor = report.guarantor if report.product == "guarantee" else None
    figures = {"product": report.product, "principal": format_yuan(report.principal), "ratio": format_rate(case.ratio)}
    return LoanCovered(
        uscc=case.uscc,
        loan_no=report.loan_no,
        lender=sender,
        product=report.product,
        principal=report.principal,
        ratio=case.ratio,
        guarantor=guarantor,
        insurer=report.insurer if report.product == "insurance" else None,
        payee={"bank": sender, "guarantee": guarantor, "insurance": None}[report.product],
        guarantor_share=_share(report, sender, agreements[guarantor]) if guarantor else None,
        recommender=case.recommender,
        seats=case.seats,
        annual_rate=report.annual_rate,
        disbursed_on=report.disbursed_on,
        matures_on=report.matures_on,
        why=policy.why("loan.product", need=format_yuan(case.need_fen), **figures),
    )


def _share(report: LoanDisbursed, lender: str, guarantor: Agreement) -> Decimal:
    """What the guarantor keeps of a compensation: as reported, else as agreed with this lender, else all of it."""
    if report.guarantor_share is not None:
        return report.guarantor_share
    return guarantor.guarantor_shares.get(lender, Decimal("1.00"))


def _closed(other: Case, case: Case, policy: ReviewPolicy) -> tuple[Event, ...]:
    if not other.is_open:
        return ()
    return close(other, "closed", "eligible.once", policy, other=case.uscc, status=other.status)
