"""The fund, its queue and its disbursements."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.institution_views import QueuedView
from services.gateway.projections.tables import disbursements, fund, loans, payouts
from services.gateway.queries.paging import page
from services.gateway.views import DisbursementView, HeldView, Page, PoolView
from shared.contracts.pool import HOLD_RULES


async def pool(connection: AsyncConnection, scheme: str) -> PoolView:
    """The newest figures of the fund, what is held and the exposure; zeros before the first capital."""
    figures = (await connection.execute(select(fund.c.figures).where(fund.c.scheme == scheme))).scalar_one_or_none()
    return PoolView(
        **(figures or {}), held=await _held(connection, scheme), exposure=await _exposure_fen(connection, scheme)
    )


def _queue(scheme: str) -> Select[Any]:
    """Released and not instructed, each with its place in the order in which it will be paid."""
    left = (payouts.c.released_fen - payouts.c.instructed_fen).label("left_fen")
    position = func.row_number().over(order_by=(payouts.c.place, payouts.c.ref)).label("position")
    return select(payouts, left, position, func.count().over().label("of")).where(payouts.c.scheme == scheme, left > 0)


async def _held(connection: AsyncConnection, scheme: str) -> list[HeldView]:
    return [
        HeldView(
            kind=row.kind,
            loan_no=row.loan_no,
            policy_no=row.ref if row.kind == "subsidy" else None,
            year=int(row.ref) if row.kind == "fee" else None,
            uscc=row.uscc,
            payee=row.payee,
            amount=row.left_fen,
            reason=row.reason,
        )
        for row in await connection.execute(_queue(scheme).order_by("position"))
    ]


async def queue_of(connection: AsyncConnection, scheme: str, institution: str) -> list[QueuedView]:
    """What waits to be paid for the loans of an institution, in payout order; then what no notice has released."""
    queue = _queue(scheme).subquery()
    own = or_(*(loans.c[name] == institution for name in ("lender", "payee", "guarantor", "insurer")))
    joined = queue.join(loans, and_(loans.c.scheme == queue.c.scheme, loans.c.loan_no == queue.c.loan_no))
    rows = (await connection.execute(select(queue).select_from(joined).where(own).order_by("position"))).all()
    found = [
        QueuedView(
            kind=row.kind,
            loan_no=row.loan_no,
            policy_no=row.ref if row.kind == "subsidy" else None,
            uscc=row.uscc,
            payee=row.payee,
            amount=row.left_fen,
            place=row.position,
            of=row.of,
            reason=row.reason,
            rule=HOLD_RULES.get(row.reason or ""),
        )
        for row in rows
    ]
    length = (await connection.execute(select(func.count()).select_from(queue))).scalar_one()
    waiting = select(loans).where(unreleased(scheme), own).order_by(loans.c.loan_no)
    return found + [
        QueuedView(
            kind="compensation", loan_no=row.loan_no, uscc=row.uscc, payee=row.payee, amount=row.approved_fen,
            place=None, of=length, reason="notice", rule="pool.notice",
        )
        for row in await connection.execute(waiting)
    ]  # fmt: skip


def unreleased(scheme: str) -> ColumnElement[bool]:
    """Loans whose compensation the district government consented to and no notice has released yet (pool.notice)."""
    paid = and_(payouts.c.scheme == loans.c.scheme, payouts.c.kind == "compensation", payouts.c.ref == loans.c.loan_no)
    released = select(payouts.c.ref).where(paid, payouts.c.released_fen > 0).exists()
    return and_(loans.c.scheme == scheme, loans.c.claim_status == "approved", loans.c.approved_fen > 0, not_(released))


async def _exposure_fen(connection: AsyncConnection, scheme: str) -> int:
    """Sum of ratio x outstanding of covered loans not compensated; an insured loan never is (loan.product)."""
    paid = and_(
        payouts.c.scheme == loans.c.scheme,
        payouts.c.kind == "compensation",
        payouts.c.ref == loans.c.loan_no,
        payouts.c.settled_fen > 0,
    )
    # numeric's round is half-up to the fen for what is not negative, as shared.money.multiply is
    part = func.round(loans.c.ratio * (loans.c.principal_fen - loans.c.repaid_fen))
    query = select(func.coalesce(func.sum(part), 0)).where(
        loans.c.scheme == scheme,
        loans.c.payee.is_not(None),
        not_(loans.c.uncovered),
        func.coalesce(loans.c.claim_status, "") != "rejected",
        not_(select(payouts.c.ref).where(paid).exists()),
    )
    return int((await connection.execute(query)).scalar_one())


async def disbursement_list(
    connection: AsyncConnection,
    scheme: str,
    *,
    status: str | None,
    loan_no: str | None,
    kind: str | None,
    party: str | None,
    limit: int,
    cursor: str | None,
) -> Page[DisbursementView]:
    """Disbursements, oldest instruction first; ``party`` sees those it is paid from."""
    table = disbursements
    query = select(table).where(table.c.scheme == scheme)
    for column, wanted in ((table.c.status, status), (table.c.loan_no, loan_no), (table.c.kind, kind)):
        if wanted is not None:
            query = query.where(column == wanted)
    if party is not None:
        query = query.where(or_(table.c.payee == party, table.c.shares.has_key(party)))
    return await page(
        connection, query, [table.c.position, table.c.id], lambda row: _disbursement(dict(row._mapping)), limit, cursor
    )


def _disbursement(row: dict[str, object]) -> DisbursementView:
    return DisbursementView.model_validate({**row, "amount": row["amount_fen"]})
