"""Recoveries of compensated loans, as the recovery service says them."""

from sqlalchemy import case, func
from sqlalchemy.dialects.postgresql import insert

from services.gateway.projections.tables import recoveries
from services.gateway.projections.writing import Projected
from shared.contracts import recovery


async def opened(at: Projected, event: recovery.RecoveryOpened) -> None:
    """Recovery opened with the first settled compensation."""
    await at.upsert(
        recoveries,
        {"loan_no": event.loan_no},
        {
            "uscc": event.uscc,
            "payee": event.payee,
            "lender": event.lender,
            "guarantor": event.guarantor,
            "opened_on": event.opened_on,
        },
    )


async def credited(at: Projected, event: recovery.CompensationCredited) -> None:
    """Another settled compensation of the loan counts."""
    await at.upsert(recoveries, {"loan_no": event.loan_no}, add={"paid_fen": event.amount})


async def shared(at: Projected, event: recovery.RecoveryShared) -> None:
    """A recovered amount was shared; the pool's part is due."""
    await at.upsert(
        recoveries,
        {"loan_no": event.loan_no},
        {"due_on": event.due_on},
        add={"collected_fen": event.amount, "pool_share_fen": event.pool_share, "costs_fen": event.costs},
    )


async def remitted(at: Projected, event: recovery.RecoveryRemitted) -> None:
    """The custodian confirmed money; it pays what is overdue first (recovery.remit)."""
    write = insert(recoveries).values(scheme=at.scheme, loan_no=event.loan_no, remitted_fen=event.amount)
    left = func.greatest(recoveries.c.overdue_fen - write.excluded.remitted_fen, 0)
    await at.connection.execute(
        write.on_conflict_do_update(
            index_elements=["scheme", "loan_no"],
            set_={
                "remitted_fen": recoveries.c.remitted_fen + write.excluded.remitted_fen,
                "overdue_fen": left,
            },
        )
    )


async def overdue(at: Projected, event: recovery.RemittanceOverdue) -> None:
    """A share was not remitted in time."""
    await at.upsert(recoveries, {"loan_no": event.loan_no}, add={"overdue_fen": event.amount})


async def write_off_requested(at: Projected, event: recovery.WriteOffRequested) -> None:
    """The institution proposed a write-off."""
    await at.upsert(recoveries, {"loan_no": event.loan_no}, {"status": "write_off_requested"})


async def write_off_refused(at: Projected, event: recovery.WriteOffRefused) -> None:
    """A write-off was refused: recovery goes on."""
    await at.upsert(recoveries, {"loan_no": event.loan_no}, {"status": "open"})


async def written_off(at: Projected, event: recovery.WriteOffApproved) -> None:
    """The net loss is written off; later recoveries are still shared."""
    await at.upsert(
        recoveries, {"loan_no": event.loan_no}, {"status": "written_off"}, add={"written_off_fen": event.amount}
    )


async def clawback_demanded(at: Projected, event: recovery.ClawbackDemanded) -> None:
    """A sanctioned institution must return compensation (clawback.full)."""
    await at.upsert(recoveries, {"loan_no": event.loan_no}, {"status": "clawback"}, add={"clawback_fen": event.amount})


async def clawed_back(at: Projected, event: recovery.ClawbackReturned) -> None:
    """Clawed-back money came in."""
    await at.upsert(recoveries, {"loan_no": event.loan_no}, add={"clawed_back_fen": event.amount})


async def closed(at: Projected, event: recovery.RecoveryClosed) -> None:
    """The pool has back all it paid; a write-off stays visible as such."""
    write = insert(recoveries).values(scheme=at.scheme, loan_no=event.loan_no, status="closed", overdue_fen=0)
    status = case((recoveries.c.status == "written_off", "written_off"), else_="closed")
    await at.connection.execute(
        write.on_conflict_do_update(index_elements=["scheme", "loan_no"], set_={"status": status, "overdue_fen": 0})
    )
