"""The write-off of a net loss: its ground, and the two approvals (三(七))."""

from datetime import date

from services.recovery.domain.recovery import Recovery
from services.recovery.policy import RecoveryPolicy
from shared.contracts.base import Event
from shared.contracts.commands import ApproveWriteOff
from shared.contracts.partners import WriteOffProposed
from shared.contracts.recovery import WriteOffApproval, WriteOffApproved, WriteOffRefused, WriteOffRequested
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan

SUSPENDED = ("execution_suspended", "终结本次执行程序", "终结本次执行")
APPROVALS = 2


def decide_propose(
    recovery: Recovery | None, proposed: WriteOffProposed, sender: str, today: date, policy: RecoveryPolicy
) -> Decision:
    """writeoff.ground (三(七)): an institution of the loan confirms a net loss on a ruling that ends all hope."""
    if recovery is None:
        return Refusal("unknown", "loan", {"loan_no": proposed.loan_no})
    if not recovery.is_party(sender):
        return Refusal("permission", "recovery_party", {"loan_no": recovery.loan_no, "payee": recovery.payee})
    if refusal := _bad_ground(proposed, today, policy):
        return refusal
    if _is_pending(recovery, proposed, sender):
        return Accepted(duplicate=True)
    if refusal := _not_now(recovery):
        return refusal
    requested = WriteOffRequested(
        uscc=recovery.uscc, loan_no=recovery.loan_no, ground=proposed.ground, ruling_no=proposed.ruling_no,
        ruled_on=proposed.ruled_on, by=sender,
        why=policy.why("writeoff.ground", ground=proposed.ground, net_loss=format_yuan(recovery.net_loss_fen)),
    )
    return Accepted((requested,))


def _bad_ground(proposed: WriteOffProposed, today: date, policy: RecoveryPolicy) -> Refusal | None:
    figures = {"loan_no": proposed.loan_no, "ground": proposed.ground, "grounds": ", ".join(policy.writeoff_grounds)}
    if proposed.ground in SUSPENDED:
        return Refusal("writeoff.ground", "suspended", figures)
    if proposed.ground not in policy.writeoff_grounds:
        return Refusal("writeoff.ground", figures=figures)
    if proposed.ruled_on > today:
        return Refusal("writeoff.ground", "future", {**figures, "ruled_on": proposed.ruled_on.isoformat()})
    return None


def _is_pending(recovery: Recovery, proposed: WriteOffProposed, sender: str) -> bool:
    pending = recovery.proposal
    said = (proposed.ground, proposed.ruling_no, proposed.ruled_on, sender)
    return pending is not None and said == (pending.ground, pending.ruling_no, pending.ruled_on, pending.by)


def _not_now(recovery: Recovery) -> Refusal | None:
    figures = {"loan_no": recovery.loan_no, "written_off": format_yuan(recovery.written_off_fen)}
    if recovery.proposal:
        return Refusal("writeoff.approval", "pending", {**figures, "by": recovery.proposal.by})
    if recovery.written_off_fen:
        return Refusal("writeoff.approval", "done", figures)
    return None if recovery.net_loss_fen else Refusal("writeoff.approval", "no_loss", figures)


def decide_approve(
    recovery: Recovery | None, command: ApproveWriteOff, sender: str, policy: RecoveryPolicy
) -> Decision:
    """writeoff.approval (三(七)): DRC and finance both approve, two different units; one refusal ends the proposal.

    The amount written off is what was paid less the pool's share so far and what was clawed back.
    """
    if recovery is None:
        return Refusal("unknown", "loan", {"loan_no": command.loan_no})
    if recovery.proposal is None:
        return Refusal("writeoff.approval", "no_proposal", {"loan_no": recovery.loan_no})
    if sender in recovery.proposal.approved_by:
        return Refusal("writeoff.approval", "same_unit", {"loan_no": recovery.loan_no, "by": sender})
    names = {"uscc": recovery.uscc, "loan_no": recovery.loan_no}
    if command.decision == "refuse":
        why = policy.why("writeoff.approval", by=sender)
        return Accepted((WriteOffRefused(**names, by=sender, reason=command.reason or "", why=why),))
    if not recovery.net_loss_fen:
        return Refusal("writeoff.approval", "no_loss", {"loan_no": recovery.loan_no})
    return _approved(recovery, sender, policy)


def _approved(recovery: Recovery, sender: str, policy: RecoveryPolicy) -> Accepted:
    units = (*(recovery.proposal.approved_by if recovery.proposal else ()), sender)
    approval = WriteOffApproval(uscc=recovery.uscc, loan_no=recovery.loan_no, by=sender,
                                why=policy.why("writeoff.approval", by=sender))
    if len(units) < APPROVALS:
        return Accepted((approval,))
    amount_fen = recovery.net_loss_fen
    why = policy.why("writeoff.approval", approved_by=", ".join(units), paid=format_yuan(recovery.paid_fen),
                     pool_share=format_yuan(recovery.pool_share_fen), clawed_back=format_yuan(recovery.returned_fen))
    events: tuple[Event, ...] = (
        approval, WriteOffApproved(uscc=recovery.uscc, loan_no=recovery.loan_no, amount=amount_fen, why=why)
    )
    return Accepted(events, {"loan_no": recovery.loan_no, "written_off": format_yuan(amount_fen)})
