"""The pool's ledger as posted, and balances derived from its entries alone."""

import operator
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import ledger_entries
from services.gateway.queries.paging import page
from services.gateway.views import AccountView, EntryView, Page


@dataclass(frozen=True)
class Totals:
    """Debits and credits of some entries, both above zero."""

    debit_fen: int
    credit_fen: int
    entries: int

    @property
    def balance_fen(self) -> int:
        """Debits less credits."""
        return self.debit_fen - self.credit_fen


@dataclass(frozen=True)
class Filter:
    """Which entries: of an account, about a business id, between two dates, both inclusive."""

    account: str | None = None
    about: str | None = None
    since: date | None = None
    until: date | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As conditions on the entries."""
        table = ledger_entries
        asked = (
            (table.c.account, operator.eq, self.account),
            (table.c.about, operator.eq, self.about),
            (table.c.on, operator.ge, self.since),
            (table.c.on, operator.le, self.until),
        )
        return [compare(column, wanted) for column, compare, wanted in asked if wanted is not None]


async def entry_list(
    connection: AsyncConnection, scheme: str, wanted: Filter, *, limit: int, cursor: str | None
) -> Page[EntryView]:
    """Entries in the order of posting."""
    table = ledger_entries
    query = select(table, table.c.amount_fen.label("amount")).where(table.c.scheme == scheme, *wanted.conditions())
    order = [table.c.position, table.c.line]
    return await page(connection, query, order, lambda row: EntryView.model_validate(dict(row._mapping)), limit, cursor)


async def totals(
    connection: AsyncConnection, scheme: str, wanted: Filter, before: tuple[int, int] | None = None
) -> Totals:
    """Debits and credits of the entries; ``before`` counts those posted before a (position, line) only."""
    table = ledger_entries
    amount: Any = table.c.amount_fen
    query = select(
        func.coalesce(func.sum(amount).filter(amount > 0), 0).label("debit"),
        func.coalesce(-func.sum(amount).filter(amount < 0), 0).label("credit"),
        func.count().label("entries"),
    ).where(table.c.scheme == scheme, *wanted.conditions())
    if before is not None:
        position, line = before
        earlier = and_(table.c.position == position, table.c.line < line)
        query = query.where(or_(table.c.position < position, earlier))
    row = (await connection.execute(query)).one()
    return Totals(int(row.debit), int(row.credit), row.entries)


async def account_list(connection: AsyncConnection, scheme: str) -> Page[AccountView]:
    """Every account with its balance (pool.ledger)."""
    table = ledger_entries
    balance = cast(func.sum(table.c.amount_fen), BigInteger).label("balance")
    query = select(table.c.account, balance, func.count().label("entries")).where(table.c.scheme == scheme)
    rows = await connection.execute(query.group_by(table.c.account).order_by(table.c.account))
    return Page(items=[AccountView.model_validate(dict(row._mapping)) for row in rows])
