"""The pool's ledger as posted, and balances derived from its entries alone."""

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.queries.paging import page
from services.gateway.tables import ledger_entries
from services.gateway.views import AccountView, EntryView, Page


async def entry_list(
    connection: AsyncConnection, scheme: str, *, account: str | None, about: str | None, limit: int, cursor: str | None
) -> Page[EntryView]:
    """Entries in the order of posting."""
    table = ledger_entries
    query = select(table, table.c.amount_fen.label("amount")).where(table.c.scheme == scheme)
    for column, wanted in ((table.c.account, account), (table.c.about, about)):
        if wanted is not None:
            query = query.where(column == wanted)
    order = [table.c.position, table.c.line]
    return await page(connection, query, order, lambda row: EntryView.model_validate(dict(row._mapping)), limit, cursor)


async def account_list(connection: AsyncConnection, scheme: str) -> Page[AccountView]:
    """Every account with its balance (pool.ledger)."""
    table = ledger_entries
    balance = cast(func.sum(table.c.amount_fen), BigInteger).label("balance")
    query = select(table.c.account, balance, func.count().label("entries")).where(table.c.scheme == scheme)
    rows = await connection.execute(query.group_by(table.c.account).order_by(table.c.account))
    return Page(items=[AccountView.model_validate(dict(row._mapping)) for row in rows])
