"""The fund's newest figures, its payout queue and its disbursements, as the pool says them."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Table, case
from sqlalchemy.dialects.postgresql import insert

from services.gateway.projections.tables import disbursements, fund, fund_days, payouts
from services.gateway.projections.writing import Projected
from shared.contracts import pool

Instructed = pool.CompensationInstructed | pool.SubsidyInstructed | pool.FeeInstructed
Settled = pool.CompensationSettled | pool.SubsidySettled | pool.FeeSettled
Held = pool.CompensationHeld | pool.SubsidyHeld | pool.FeeHeld
_KIND = {"Compensation": "compensation", "Subsidy": "subsidy", "Fee": "fee"}


def _queue_key(event: Any, kind: str) -> dict[str, str]:
    """Which payout an event is about: a loan's compensation, a policy's subsidy or a year's fee."""
    names = {"compensation": "loan_no", "subsidy": "policy_no", "fee": "year"}
    return {"kind": kind, "ref": str(getattr(event, names[kind]))}


def _kind(event: object) -> str:
    return next(kind for prefix, kind in _KIND.items() if type(event).__name__.startswith(prefix))


async def figures(batch: Sequence[tuple[Projected, pool.PoolEvent]]) -> None:
    """Keep the newest figures, and those that each day ends with; an older version never replaces a newer one."""
    newest: dict[tuple[Table, str, date | None], pool.PoolEvent] = {}
    for at, event in batch:
        for place in ((fund, at.scheme, None), (fund_days, at.scheme, event.on)):
            if place not in newest or newest[place].fund.version <= event.fund.version:
                newest[place] = event
    for table, keys in ((fund, ()), (fund_days, ("on",))):
        rows = [
            {
                "scheme": scheme,
                **dict.fromkeys(keys, on),
                "version": event.fund.version,
                "figures": event.fund.model_dump(mode="json", exclude={"version"}),
            }
            for (of, scheme, on), event in newest.items()
            if of is table
        ]
        write = insert(table)
        newer = write.on_conflict_do_update(
            index_elements=["scheme", *keys],
            set_={"version": write.excluded.version, "figures": write.excluded.figures},
            where=table.c.version <= write.excluded.version,
        )
        await batch[0][0].connection.execute(newer, rows)


async def notice_issued(at: Projected, event: pool.PayoutNoticeIssued) -> None:
    """The released compensations join the queue in payout order."""
    for place, item in enumerate(event.items):
        await at.upsert(
            payouts,
            {"kind": "compensation", "ref": item.loan_no},
            {"loan_no": item.loan_no, "uscc": item.uscc, "payee": item.payee, "place": at.position * 10_000 + place},
            add={"released_fen": item.amount},
        )


async def subsidy_released(at: Projected, event: pool.SubsidyReleased) -> None:
    """A subsidy joins the queue."""
    await at.upsert(
        payouts,
        _queue_key(event, "subsidy"),
        {"loan_no": event.loan_no, "uscc": event.uscc, "place": at.position * 10_000},
        add={"released_fen": event.amount},
    )


async def fee_released(at: Projected, event: pool.FeeReleased) -> None:
    """A year's fee joins the queue."""
    await at.upsert(
        payouts, _queue_key(event, "fee"), {"place": at.position * 10_000}, add={"released_fen": event.amount}
    )


async def instructed(at: Projected, event: Instructed) -> None:
    """The custodian is told to pay."""
    kind = _kind(event)
    await at.upsert(payouts, _queue_key(event, kind), add={"instructed_fen": event.amount})
    details: dict[str, Any] = {
        name: getattr(event, name) for name in ("payee", "uscc", "loan_no", "policy_no", "year") if hasattr(event, name)
    }
    if isinstance(event, pool.CompensationInstructed):
        details["shares"] = event.model_dump(mode="json", include={"shares"})["shares"]
    await _disbursement(
        at, event.disbursement_id, kind, "instructed", event.amount, {**details, "instructed_on": event.on}
    )


async def settled(at: Projected, event: Settled) -> None:
    """The custodian confirmed with its bank reference."""
    kind = _kind(event)
    await at.upsert(payouts, _queue_key(event, kind), add={"settled_fen": event.amount})
    details = {"settled_on": event.on, "bank_ref": event.bank_ref}
    await _disbursement(at, event.disbursement_id, kind, "settled", event.amount, details)


async def returned(at: Projected, event: pool.DisbursementReturned) -> None:
    """A transfer came back: what it paid is held again, at the head of the queue."""
    await at.upsert(
        payouts,
        _queue_key(event, event.kind),
        {"place": -at.position, "reason": "returned"},
        add={"instructed_fen": -event.amount},
    )
    details = {"reason": event.reason}
    await _disbursement(at, event.disbursement_id, event.kind, "returned", event.amount, details)


async def held(at: Projected, event: Held) -> None:
    """Why the rest of a payout waits."""
    await at.upsert(payouts, _queue_key(event, _kind(event)), {"reason": event.reason})


async def _disbursement(
    at: Projected, identifier: str, kind: str, status: str, amount_fen: int, details: dict[str, Any]
) -> None:
    """An instruction never takes back what is already settled or returned."""
    values = {"kind": kind, "amount_fen": amount_fen, **details}
    write = insert(disbursements).values(scheme=at.scheme, id=identifier, position=at.position, status=status, **values)
    changes: dict[str, Any] = {name: write.excluded[name] for name in values}
    changes["status"] = case(
        (write.excluded.status == "instructed", disbursements.c.status), else_=write.excluded.status
    )
    await at.connection.execute(write.on_conflict_do_update(index_elements=["scheme", "id"], set_=changes))
