"""Sanctions on an institution: withhold a share, claw back named loans, end the agreement (scheme.md section 7)."""

from collections.abc import Mapping
from datetime import date

from services.review.domain.agreements import Agreement
from services.review.domain.loans import Loan
from services.review.policy import ReviewPolicy
from shared.contracts.commands import SanctionInstitution
from shared.contracts.review import InstitutionSanctioned, LoanUncovered
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_rate

UNCOVERABLE = ("covered", "claimed", "verified")


def decide_sanction(
    agreement: Agreement | None,
    loans: Mapping[str, Loan],
    command: SanctionInstitution,
    today: date,
    policy: ReviewPolicy,
) -> Decision:
    """Sanction an institution on the rating seats' finding (sanction.institution, 四(二)).

    ``loans`` are those that the command names and review knows. A reduction counts for later consents; a clawback
    names compensated loans; a termination stops new pushes and uncovers only the loans it names.
    """
    if agreement is None:
        return Refusal("unknown", "institution", {"institution": command.institution})
    match command.measure:
        case "reduce":
            refusal = _reduction(command)
        case "clawback":
            refusal = _clawback(command, loans)
        case "terminate":
            refusal = _termination(agreement, command, loans)
    if refusal:
        return refusal
    named = () if command.measure == "reduce" else tuple(dict.fromkeys(command.loan_nos))
    reduction = command.reduction if command.measure == "reduce" else None
    figures = {"measure": command.measure, "institution": command.institution, "loan_nos": ", ".join(named)}
    if reduction is not None:
        figures["reduction"] = format_rate(reduction)
    why = policy.why("sanction.institution", **figures)
    sanctioned = InstitutionSanctioned(
        institution=command.institution,
        measure=command.measure,
        reduction=reduction,
        loan_nos=named,
        reason=command.reason,
        sanctioned_on=today,
        why=why,
    )
    ended = [loans[loan_no] for loan_no in named] if command.measure == "terminate" else []
    uncovered = (
        LoanUncovered(uscc=loan.uscc, loan_no=loan.loan_no, institution=command.institution, why=why) for loan in ended
    )
    return Accepted((sanctioned, *uncovered))


def _reduction(command: SanctionInstitution) -> Refusal | None:
    if command.reduction is None or not 0 < command.reduction <= 1:
        given = "—" if command.reduction is None else format_rate(command.reduction)
        return Refusal("sanction.institution", "reduction", {"institution": command.institution, "reduction": given})
    return None


def _clawback(command: SanctionInstitution, loans: Mapping[str, Loan]) -> Refusal | None:
    """Every named loan is compensated, to this institution, and not yet given back whole (clawback.full)."""
    if not command.loan_nos:
        return Refusal("sanction.institution", "loan_nos", {"institution": command.institution})
    others = [
        loan_no
        for loan_no in command.loan_nos
        if loan_no not in loans
        or loans[loan_no].payee != command.institution
        or loans[loan_no].status != "compensated"
    ]
    if others:
        figures = {"institution": command.institution, "loan_nos": ", ".join(others)}
        return Refusal("sanction.institution", "not_compensated", figures)
    return None


def _termination(agreement: Agreement, command: SanctionInstitution, loans: Mapping[str, Loan]) -> Refusal | None:
    """The agreement still runs, and every named loan is the institution's, covered and not yet consented to."""
    if agreement.terminated:
        return Refusal("sanction.institution", "terminated", {"institution": command.institution})
    others = [
        loan_no
        for loan_no in command.loan_nos
        if loan_no not in loans
        or command.institution not in (loans[loan_no].lender, loans[loan_no].guarantor, loans[loan_no].insurer)
        or loans[loan_no].status not in UNCOVERABLE
        or loans[loan_no].uncovered
    ]
    if others:
        figures = {"institution": command.institution, "loan_nos": ", ".join(others)}
        return Refusal("sanction.institution", "not_covered", figures)
    return None
