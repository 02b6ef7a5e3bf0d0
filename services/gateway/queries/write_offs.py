"""Write-offs on their way: who proposed, on which ruling, who has approved and who is missing (writeoff.approval)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import recoveries
from services.gateway.queries.loans import recovery_view
from services.gateway.tables import events
from services.gateway.views import RecoveryView
from shared.contracts.commands import ApproveWriteOff

TYPES = ("WriteOffRequested", "WriteOffApproval", "WriteOffApproved", "WriteOffRefused")


@dataclass(frozen=True)
class WriteOff:
    """One proposal; ``state`` is open, approved or refused."""

    loan_no: str
    uscc: str
    by: str
    ground: str
    ruling_no: str
    ruled_on: str
    net_loss: str
    event_id: str
    approved_by: tuple[tuple[str, str], ...] = ()
    state: str = "open"
    amount: str = ""
    refused_by: str = ""
    reason: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The kinds of units that have not approved."""
        done = {unit for unit, _ in self.approved_by}
        return tuple(kind for kind in ApproveWriteOff.by if kind not in done)


async def write_offs(
    connection: AsyncConnection, scheme: str, *, party: str | None, loan_no: str | None = None
) -> list[WriteOff]:
    """Proposals, those that wait first, then newest first; ``party`` sees those of its loans."""
    query = select(events).where(events.c.scheme == scheme, events.c.type.in_(TYPES))
    if loan_no is not None:
        query = query.where(events.c.about.contains([loan_no]))
    if party is not None:
        query = query.where(events.c.data["loan_no"].astext.in_(_own(scheme, party)))
    found: list[WriteOff] = []
    newest: dict[str, int] = {}
    for row in await connection.execute(query.order_by(events.c.position)):
        if row.type == "WriteOffRequested":
            newest[row.data["loan_no"]] = len(found)
            found.append(_requested(row))
        elif row.data["loan_no"] in newest:
            at = newest[row.data["loan_no"]]
            found[at] = _after(found[at], row)
    return sorted(reversed(found), key=lambda one: one.state != "open")


def _own(scheme: str, party: str) -> Any:
    parties = or_(*(recoveries.c[name] == party for name in ("payee", "lender", "guarantor")))
    return select(recoveries.c.loan_no).where(recoveries.c.scheme == scheme, parties)


def _requested(row: Row[Any]) -> WriteOff:
    data, figures = row.data, (row.why or {}).get("figures") or {}
    names = ("loan_no", "uscc", "by", "ground", "ruling_no", "ruled_on")
    return WriteOff(
        **{name: data[name] for name in names}, net_loss=figures.get("net_loss", ""), event_id=row.id
    )


def _after(one: WriteOff, row: Row[Any]) -> WriteOff:
    match row.type:
        case "WriteOffApproval":
            return replace(one, approved_by=(*one.approved_by, (row.data["by"], row.id)))
        case "WriteOffApproved":
            return replace(one, state="approved", amount=row.data["amount"])
        case _:
            return replace(one, state="refused", refused_by=row.data["by"], reason=row.data.get("reason") or "")


async def overdue(connection: AsyncConnection, scheme: str, party: str | None) -> Sequence[RecoveryView]:
    """Recoveries with a share not remitted in time, the longest due first (recovery.remit, 三(七))."""
    query = select(recoveries).where(recoveries.c.scheme == scheme, recoveries.c.overdue_fen > 0)
    if party is not None:
        query = query.where(or_(*(recoveries.c[name] == party for name in ("payee", "lender", "guarantor"))))
    rows = await connection.execute(query.order_by(recoveries.c.due_on, recoveries.c.loan_no).limit(200))
    return [recovery_view(row) for row in rows]
