"""The fund, its queue and its disbursements."""

from sqlalchemy import and_, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import disbursements, fund, loans, payouts
from services.gateway.queries.paging import page
from services.gateway.views import DisbursementView, HeldView, Page, PoolView


async def pool(connection: AsyncConnection, scheme: str) -> PoolView:
    """The newest figures of the fund, what is held and the exposure; zeros before the first capital."""
    figures = (await connection.execute(select(fund.c.figures).where(fund.c.scheme == scheme))).scalar_one_or_none()
    return PoolView(
        **(figures or {}), held=await _held(connection, scheme), exposure=await _exposure_fen(connection, scheme)
    )


async def _held(connection: AsyncConnection, scheme: str) -> list[HeldView]:
    """Released and not instructed, in the order in which it will be paid."""
    left = (payouts.c.released_fen - payouts.c.instructed_fen).label("left_fen")
    query = select(payouts, left).where(payouts.c.scheme == scheme, left > 0).order_by(payouts.c.place, payouts.c.ref)
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
        for row in await connection.execute(query)
    ]


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
