"""Reads of the ledger."""

from datetime import date

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pool.domain.close import Stand
from services.pool.ledger import CASH
from services.pool.tables import account_days, entries
from shared.messaging.tables import schemes


async def cash_at_end_of(connection: AsyncConnection, scheme: str, day: date) -> int:
    """The ledger's cash in fen at the end of a day, by effective dates, from the roll-up (pool.reconcile, 二(二)2)."""
    total = func.coalesce(func.sum(account_days.c.debit_fen - account_days.c.credit_fen), 0)
    query = select(total).where(
        account_days.c.scheme == scheme, account_days.c.account == CASH, account_days.c.day <= day
    )
    return int((await connection.execute(query)).scalar_one())


async def account_balances(connection: AsyncConnection, scheme: str) -> dict[str, int]:
    """Every account's balance in fen, from the ledger's rows alone (pool.ledger, 二(二)2)."""
    total = func.sum(entries.c.amount_fen)
    query = select(entries.c.account, total.label("amount_fen")).where(entries.c.scheme == scheme)
    rows = await connection.execute(query.group_by(entries.c.account).having(total != 0).order_by(entries.c.account))
    return {row.account: int(row.amount_fen) for row in rows}


async def first_day(connection: AsyncConnection, scheme: str) -> date | None:
    """The effective date of the first money that moved; None while none has."""
    query = select(func.min(account_days.c.day)).where(account_days.c.scheme == scheme)
    found: date | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def balances_at_end_of(connection: AsyncConnection, scheme: str, day: date) -> dict[str, int]:
    """Every account's balance in fen at the end of a day, by effective dates, from the roll-up (pool.ledger)."""
    total = func.sum(account_days.c.debit_fen - account_days.c.credit_fen)
    query = select(account_days.c.account, total.label("amount_fen")).where(
        account_days.c.scheme == scheme, account_days.c.day <= day
    )
    rows = await connection.execute(query.group_by(account_days.c.account).having(total != 0))
    return {row.account: int(row.amount_fen) for row in rows}


async def stand_of(connection: AsyncConnection, scheme: str) -> Stand:
    """Where the chains of a scheme's events and of its journal stand."""
    row = (await connection.execute(select(schemes).where(schemes.c.scheme == scheme))).one()._mapping
    hashes = {name: bytes(row[name]).hex() for name in ("sha256", "rows_sha256")}
    return Stand(position=row["position"], rows=row["rows"], **hashes)
