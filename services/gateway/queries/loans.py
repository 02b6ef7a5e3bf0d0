"""Loans with their claims, compensation and recovery, and the recoveries themselves."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from services.gateway.projections.tables import loans, payouts, recoveries
from services.gateway.queries.paging import page
from services.gateway.views import CompensationView, LoanRecoveryView, LoanView, Page, RecoveryView

OUTSTANDING = func.greatest(loans.c.principal_fen - loans.c.repaid_fen, 0)
STATUS = case(
    (or_(loans.c.uncovered, recoveries.c.status == "closed"), "closed"),
    (payouts.c.settled_fen > 0, "compensated"),
    (loans.c.claim_status.is_not(None), loans.c.claim_status),
    (OUTSTANDING == 0, "repaid"),
    else_=literal("covered", Text),
)
_RECOVERY = ("collected", "pool_share", "remitted", "overdue", "written_off", "clawback", "clawed_back")


@lru_cache(1_000)
def _query(scheme: str, party: str | None) -> Select[Any]:
    """Covered loans with what pool and recovery say of them; ``party`` sees those it has a part in."""
    paid = and_(payouts.c.scheme == loans.c.scheme, payouts.c.kind == "compensation", payouts.c.ref == loans.c.loan_no)
    recovery = and_(recoveries.c.scheme == loans.c.scheme, recoveries.c.loan_no == loans.c.loan_no)
    query = (
        select(
            loans,
            STATUS.label("status"),
            OUTSTANDING.label("outstanding_fen"),
            payouts.c.released_fen,
            payouts.c.instructed_fen,
            payouts.c.settled_fen,
            recoveries.c.status.label("recovery_status"),
            recoveries.c.due_on,
            *(recoveries.c[f"{name}_fen"] for name in _RECOVERY),
        )
        .select_from(loans.outerjoin(payouts, paid).outerjoin(recoveries, recovery))
        .where(loans.c.scheme == scheme, loans.c.lender.is_not(None))
    )
    if party is not None:
        query = query.where(or_(*(loans.c[name] == party for name in ("lender", "payee", "guarantor", "insurer"))))
    return query


def _loan(row: Row[Any]) -> LoanView:
    released, instructed, settled = row.released_fen or 0, row.instructed_fen or 0, row.settled_fen or 0
    compensation = CompensationView(
        approved=row.approved_fen,
        instructed=max(instructed - settled, 0),
        paid=settled,
        held=max(released - instructed, 0),
    )
    recovery = LoanRecoveryView.model_validate(
        {
            "status": row.recovery_status or "none",
            "due_on": row.due_on,
            **{name: getattr(row, f"{name}_fen") or 0 for name in _RECOVERY},
        }
    )
    return LoanView.model_validate(
        {
            **row._mapping,
            "principal": row.principal_fen,
            "outstanding": row.outstanding_fen,
            "compensation": compensation,
            "recovery": recovery,
        }
    )


async def loan_list(
    connection: AsyncConnection,
    scheme: str,
    *,
    status: str | None,
    uscc: str | None,
    lender: str | None,
    party: str | None,
    limit: int,
    cursor: str | None,
) -> Page[LoanView]:
    """Covered loans by number."""
    query = _query(scheme, party)
    for column, wanted in ((STATUS, status), (loans.c.uscc, uscc), (loans.c.lender, lender)):
        if wanted is not None:
            query = query.where(column == wanted)
    return await page(connection, query, [loans.c.loan_no], _loan, limit, cursor)


async def lenders(connection: AsyncConnection, scheme: str) -> list[str]:
    """Who has lent covered loans."""
    query = select(loans.c.lender).where(loans.c.scheme == scheme, loans.c.lender.is_not(None)).distinct()
    return sorted((await connection.execute(query)).scalars())


async def one_loan(connection: AsyncConnection, scheme: str, loan_no: str, party: str | None) -> LoanView | None:
    """A covered loan, or None."""
    row = (await connection.execute(_query(scheme, party).where(loans.c.loan_no == loan_no))).one_or_none()
    return _loan(row) if row else None


async def loans_of(
    connection: AsyncConnection, scheme: str, party: str | None, *conditions: ColumnElement[bool], limit: int = 5_000
) -> list[LoanView]:
    """Covered loans under some conditions on ``loans``, by number."""
    query = _query(scheme, party).where(*conditions).order_by(loans.c.loan_no).limit(limit)
    rows = await connection.execute(query)
    return [_loan(row) for row in rows]


async def amounts_of(
    connection: AsyncConnection, scheme: str, *conditions: ColumnElement[bool], limit: int
) -> Sequence[Row[Any]]:
    """Number, enterprise and outstanding fen of covered loans under some conditions, by number: enough to choose."""
    shown = (loans.c.loan_no, loans.c.uscc, OUTSTANDING.label("outstanding_fen"))
    query: Select[Any] = _query(scheme, None).with_only_columns(*shown).where(*conditions)
    found: Sequence[Row[Any]] = (await connection.execute(query.order_by(loans.c.loan_no).limit(limit))).all()
    return found


def recovery_view(row: Row[Any]) -> RecoveryView:
    """A recovery as it is shown."""
    figures = {name: getattr(row, f"{name}_fen") for name in (*_RECOVERY, "paid", "costs")}
    return RecoveryView.model_validate({**row._mapping, **figures})


async def recovery_list(
    connection: AsyncConnection, scheme: str, *, status: str | None, party: str | None, limit: int, cursor: str | None
) -> Page[RecoveryView]:
    """Recoveries of compensated loans by loan number."""
    query = select(recoveries).where(recoveries.c.scheme == scheme, recoveries.c.opened_on.is_not(None))
    if status is not None:
        query = query.where(recoveries.c.status == status)
    if party is not None:
        query = query.where(or_(*(recoveries.c[name] == party for name in ("payee", "lender", "guarantor"))))
    return await page(connection, query, [recoveries.c.loan_no], recovery_view, limit, cursor)


async def recovery_totals(connection: AsyncConnection, scheme: str, party: str | None) -> dict[str, int]:
    """What all recoveries add up to, in fen."""
    names = ("paid", "collected", "pool_share", "remitted", "overdue", "written_off", "clawback", "clawed_back")
    sums = [func.coalesce(func.sum(recoveries.c[f"{name}_fen"]), 0).label(name) for name in names]
    query = select(func.count().label("cases"), *sums)
    query = query.where(recoveries.c.scheme == scheme, recoveries.c.opened_on.is_not(None))
    if party is not None:
        query = query.where(or_(*(recoveries.c[name] == party for name in ("payee", "lender", "guarantor"))))
    row = (await connection.execute(query)).one()
    return {name: int(value) for name, value in row._mapping.items()}
