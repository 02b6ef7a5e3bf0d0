"""What becomes of recovered money: the pool's share by the paid ratio, its remittance, and what is overdue (三(七))."""

from datetime import date, timedelta
from fractions import Fraction

from services.recovery.domain.recovery import Recovery
from services.recovery.policy import RecoveryPolicy
from shared.contracts.base import Event
from shared.contracts.partners import RecoveryCollected
from shared.contracts.pool import CompensationSettled, FundsBooked
from shared.contracts.recovery import (
    ClawbackDemanded,
    ClawbackReturned,
    CompensationCredited,
    RecoveryClosed,
    RecoveryOpened,
    RecoveryRemitted,
    RecoveryShared,
    RemittanceOverdue,
)
from shared.contracts.review import InstitutionSanctioned
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan, multiply


def decide_credit(recovery: Recovery | None, settled: CompensationSettled, policy: RecoveryPolicy) -> Accepted:
    """recovery.open, recovery.partial (三(七)): a settlement opens it; each raises the paid ratio."""
    if recovery and settled.disbursement_id in recovery.disbursement_ids:
        return Accepted(duplicate=True)
    paid_fen = (recovery.paid_fen if recovery else 0) + settled.amount
    credited = CompensationCredited(
        uscc=settled.uscc, loan_no=settled.loan_no, disbursement_id=settled.disbursement_id,
        amount=settled.amount, paid=paid_fen,
        why=policy.why("recovery.partial", paid=format_yuan(paid_fen), of=format_yuan(settled.verified_principal)),
    )
    if recovery:
        return Accepted((credited,))
    opened = RecoveryOpened(
        uscc=settled.uscc, loan_no=settled.loan_no, payee=settled.payee, lender=settled.lender,
        guarantor=settled.guarantor, verified_principal=settled.verified_principal, ratio=settled.ratio,
        opened_on=settled.on, why=policy.why("recovery.open", disbursement_id=settled.disbursement_id),
    )
    return Accepted((opened, credited))


def pool_share_of(recovery: Recovery, base_fen: int) -> int:
    """The pool's share in fen of the next recovered base (recovery.share).

    The paid ratio on all that was recovered since the last payment, less what was shared of it, so that rounding never
    drifts; never more in total than what was paid less what was clawed back.
    """
    ratio = Fraction(recovery.paid_fen, recovery.verified_fen) if recovery.verified_fen else Fraction(0)
    due_fen = multiply(recovery.segment_base_fen + base_fen, ratio) - recovery.segment_share_fen
    return max(0, min(due_fen, base_fen, recovery.net_loss_fen))


def decide_collect(
    recovery: Recovery | None, collected: RecoveryCollected, sender: str, today: date, policy: RecoveryPolicy
) -> Decision:
    """recovery.share, recovery.remit (三(七)): what is recovered is shared; the pool's part falls due."""
    if recovery is None:
        return Refusal("unknown", "loan", {"loan_no": collected.loan_no})
    if not recovery.is_party(sender):
        return Refusal("permission", "recovery_party", {"loan_no": recovery.loan_no, "payee": recovery.payee})
    if collected.collected_on > today:
        figures = {"collected_on": collected.collected_on.isoformat(), "today": today.isoformat()}
        return Refusal("recovery.share", "future", figures)
    deducted_fen = min(collected.costs or 0, collected.amount) if policy.deduct_costs else 0
    base_fen = collected.amount - deducted_fen
    pool_share_fen = pool_share_of(recovery, base_fen)
    shared = RecoveryShared(
        uscc=recovery.uscc, loan_no=recovery.loan_no, amount=collected.amount, base=base_fen,
        pool_share=pool_share_fen, institution_share=collected.amount - pool_share_fen, costs=collected.costs or 0,
        collected_on=collected.collected_on, by=sender,
        due_on=collected.collected_on + timedelta(days=policy.remit_days),
        why=policy.why(
            "recovery.share", paid=format_yuan(recovery.paid_fen), verified=format_yuan(recovery.verified_fen),
            base=format_yuan(base_fen), shared_before=format_yuan(recovery.pool_share_fen),
            clawed_back=format_yuan(recovery.returned_fen),
        ),
    )
    return Accepted((shared,))


def needs_recovery(booked: FundsBooked) -> bool:
    """Whether booked money was applied to a compensation, whose recovery must then be known here."""
    return booked.purpose != "other" and booked.applied > 0


def decide_remit(recovery: Recovery | None, booked: FundsBooked, policy: RecoveryPolicy) -> Accepted:
    """recovery.remit, clawback.full (三(七), 四(二)): money counts when it is booked; all back closes the recovery."""
    if recovery is None or not needs_recovery(booked):
        return Accepted()
    remitted_fen, returned_fen = recovery.remitted_fen, recovery.returned_fen
    event: Event
    if booked.purpose == "clawback":
        returned_fen += booked.applied
        why = policy.why("clawback.full", received_on=booked.received_on.isoformat())
        event = ClawbackReturned(uscc=recovery.uscc, loan_no=recovery.loan_no, amount=booked.applied,
                                 returned=returned_fen, bank_ref=booked.bank_ref, why=why)
    else:
        remitted_fen += booked.applied
        event = RecoveryRemitted(uscc=recovery.uscc, loan_no=recovery.loan_no, amount=booked.applied,
                                 remitted=remitted_fen, bank_ref=booked.bank_ref, received_on=booked.received_on,
                                 why=policy.why("recovery.remit", due=format_yuan(recovery.pool_share_fen)))
    if recovery.status == "closed" or remitted_fen + returned_fen < recovery.paid_fen:
        return Accepted((event,))
    why = policy.why("recovery.share", paid=format_yuan(recovery.paid_fen))
    closed = RecoveryClosed(uscc=recovery.uscc, loan_no=recovery.loan_no, remitted=remitted_fen,
                            clawed_back=returned_fen, why=why)
    return Accepted((event, closed))


def decide_overdue(recoveries: list[Recovery], today: date, policy: RecoveryPolicy) -> Accepted:
    """recovery.remit (三(七)): a share not covered after its due date is flagged, once."""
    return Accepted(tuple(event for recovery in recoveries for event in _overdue(recovery, today, policy)))


def _overdue(recovery: Recovery, today: date, policy: RecoveryPolicy) -> list[RemittanceOverdue]:
    return [
        RemittanceOverdue(
            uscc=recovery.uscc, loan_no=recovery.loan_no, share_no=due.share_no, due_on=due.due_on,
            amount=due.open_fen(recovery.covered_fen),
            why=policy.why("recovery.remit", due_on=due.due_on.isoformat(), today=today.isoformat(),
                           days=str(policy.remit_days)),
        )
        for due in recovery.overdue_on(today)
    ]


def decide_clawback(recoveries: list[Recovery], sanctioned: InstitutionSanctioned, policy: RecoveryPolicy) -> Accepted:
    """clawback.full (四(二)): the institution returns all compensation of the named loans that is not yet returned.

    What an earlier demand asked for already is not demanded again.
    """
    if sanctioned.measure != "clawback":
        return Accepted()
    demanded = [
        ClawbackDemanded(
            uscc=recovery.uscc, loan_no=recovery.loan_no, institution=sanctioned.institution,
            amount=recovery.outstanding_fen - recovery.demanded_fen,
            why=policy.why("clawback.full", paid=format_yuan(recovery.paid_fen),
                           remitted=format_yuan(recovery.remitted_fen), returned=format_yuan(recovery.returned_fen)),
        )
        for recovery in recoveries
        if recovery.payee == sanctioned.institution and recovery.outstanding_fen > recovery.demanded_fen
    ]
    return Accepted(tuple(demanded))
