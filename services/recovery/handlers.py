"""What the recovery service does on each message: load, decide; the unit of work records and announces."""

from services.recovery.aggregates import RECOVERIES, REPORTS
from services.recovery.domain.reports import decide_file
from services.recovery.domain.sharing import (
    decide_clawback,
    decide_collect,
    decide_credit,
    decide_overdue,
    decide_remit,
    needs_recovery,
)
from services.recovery.domain.writeoffs import decide_approve, decide_propose
from services.recovery.policy import RecoveryPolicy
from services.recovery.queries import recoveries_due, recoveries_of
from shared.contracts import commands, gateway, partners, pool, review
from shared.decisions import Decision
from shared.messaging.unit_of_work import NotYet, UnitOfWork


async def credit_compensation(uow: UnitOfWork, event: pool.CompensationSettled) -> Decision:
    """A compensation was settled."""
    return decide_credit(await uow.load(RECOVERIES, event.loan_no), event, uow.policy(RecoveryPolicy))


async def share_recovery(uow: UnitOfWork, event: partners.RecoveryCollected) -> Decision:
    """An institution recovered money."""
    recovery = await uow.load(RECOVERIES, event.loan_no)
    return decide_collect(recovery, event, uow.sender, uow.today, uow.policy(RecoveryPolicy))


async def book_remittance(uow: UnitOfWork, event: pool.FundsBooked) -> Decision:
    """Money entered the pool; what is not applied to a compensation is none of recovery's."""
    recovery = await uow.load(RECOVERIES, event.loan_no)
    if recovery is None and needs_recovery(event):
        raise NotYet(f"the compensation of loan {event.loan_no} is not credited yet")
    return decide_remit(recovery, event, uow.policy(RecoveryPolicy))


async def flag_overdue(uow: UnitOfWork, event: gateway.BusinessDayStarted) -> Decision:
    """A day began."""
    return decide_overdue(await recoveries_due(uow, event.date), event.date, uow.policy(RecoveryPolicy))


async def demand_clawback(uow: UnitOfWork, event: review.InstitutionSanctioned) -> Decision:
    """An institution was sanctioned; only a clawback is recovery's."""
    return decide_clawback(await recoveries_of(uow, event.loan_nos), event, uow.policy(RecoveryPolicy))


async def propose_writeoff(uow: UnitOfWork, event: partners.WriteOffProposed) -> Decision:
    """An institution confirms a net loss."""
    recovery = await uow.load(RECOVERIES, event.loan_no)
    return decide_propose(recovery, event, uow.sender, uow.today, uow.policy(RecoveryPolicy))


async def approve_writeoff(uow: UnitOfWork, command: commands.ApproveWriteOff) -> Decision:
    """ApproveWriteOff."""
    recovery = await uow.load(RECOVERIES, command.loan_no)
    return decide_approve(recovery, command, uow.sender, uow.policy(RecoveryPolicy))


async def file_report(uow: UnitOfWork, command: commands.FileReport) -> Decision:
    """FileReport of kind recovery_half_year."""
    report = await uow.load(REPORTS, command.period)
    return decide_file(report, command, uow.sender, uow.sender_kind, uow.today, uow.policy(RecoveryPolicy))
