"""Reads of the ledger."""

from datetime import date

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pool.ledger import CASH
from services.pool.tables import entries


async def cash_at_end_of(connection: AsyncConnection, scheme: str, day: date) -> int:
    """The ledger's cash in fen at the end of a day, by effective dates (pool.reconcile, 二(二)2)."""
    total = select(func.coalesce(func.sum(entries.c.amount_fen), 0)).where(
        entries.c.scheme == scheme, entries.c.account == CASH, entries.c.effective_on <= day
    )
    return int((await connection.execute(total)).scalar_one())


async def account_balances(connection: AsyncConnection, scheme: str) -> dict[str, int]:
    """Every account's balance in fen, from the ledger's rows alone (pool.ledger, 二(二)2)."""
    total = func.sum(entries.c.amount_fen)
    query = select(entries.c.account, total.label("amount_fen")).where(entries.c.scheme == scheme)
    rows = await connection.execute(query.group_by(entries.c.account).having(total != 0).order_by(entries.c.account))
    return {row.account: int(row.amount_fen) for row in rows}
