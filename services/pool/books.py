"""The books of a period: its figures, the balance day by day, and what each party had; from a roll-up or the journal.

Every read is one query over lines of an account and a day. ``Books`` takes them from the roll-ups, which the journal's
own transaction keeps; ``Books.of_the_journal`` takes them from the journal and the events: slower, and the proof.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, Self

from sqlalchemy import (
    CompoundSelect,
    FromClause,
    Text,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
    union_all,
)
from sqlalchemy import column as col
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pool.ledger import CAPITAL, CASH, INCOME, INSTRUCTED, OF_A_PARTY, PAID, RECEIVED, UNALLOCATED, WRITTEN_OFF
from services.pool.tables import account_days, journal, party_days

AVAILABLE = (CASH, INSTRUCTED, UNALLOCATED)
"""Accounts whose sum is what may be paid out, or what a loss took beyond it, below zero (pool.balance, pool.income)."""
Party = Literal["institution", "department"]


@dataclass(frozen=True)
class Figures:
    """A period in fen, by effective dates; payouts are less what came back, write-offs less what was reinstated.

    ``closing_fen`` is ``opening_fen`` and all that came in, less all that was paid out: the available balance.
    """

    opening_cash_fen: int
    opening_fen: int
    capital_fen: int
    income_fen: int
    compensation_fen: int
    subsidies_fen: int
    fees_fen: int
    recoveries_fen: int
    clawbacks_fen: int
    other_funds_fen: int
    write_offs_fen: int
    closing_fen: int
    closing_cash_fen: int


@dataclass(frozen=True)
class DayEnd:
    """Cash and available balance in fen at the end of a day."""

    day: date
    cash_fen: int
    balance_fen: int


@dataclass(frozen=True)
class PartyFigures:
    """What an institution was paid, or a department had recommended, in fen; ``written_off_fen`` is less reinstated."""

    name: str
    compensated_fen: int
    returned_fen: int
    recovered_fen: int
    clawed_back_fen: int
    written_off_fen: int


def _lines() -> FromClause:
    """The journal as two lines a row."""
    debit = select(
        journal.c.scheme, journal.c.event_id, journal.c.debit.label("account"), journal.c.effective_on.label("day"),
        journal.c.amount_fen.label("debit_fen"), literal_column("0").label("credit_fen"),
    )
    credit = select(
        journal.c.scheme, journal.c.event_id, journal.c.credit, journal.c.effective_on, literal_column("0"),
        journal.c.amount_fen,
    )
    return union_all(debit, credit).subquery("lines")


def _party_lines(scheme: str) -> FromClause:
    """The journal's lines of compensations with their loan's payee and recommender, as its first instruction says."""
    names = ("scheme", "event_id", "institution", "department")
    told = text(_PARTIES).bindparams(scheme=scheme)
    parties = told.columns(*(col(name, Text) for name in names)).subquery("parties")
    lines = _lines()
    joined = lines.join(parties, parties.c.event_id == lines.c.event_id)
    columns = (parties.c.institution, parties.c.department, lines.c.account, lines.c.debit_fen, lines.c.credit_fen)
    found = select(lines.c.scheme, lines.c.day, *columns).select_from(joined)
    return found.where(lines.c.account.in_(sorted(OF_A_PARTY))).subquery("party_lines")


_PARTIES = """
with told as (
    select scheme, event_id, position, name, payload::jsonb->'data' as data from outbox
    where stream = 'EVENTS' and scheme = :scheme
        and name in ('CompensationInstructed', 'DisbursementReturned', 'FundsBooked', 'WriteOffBooked')
), loans as (
    select distinct on (scheme, data->>'loan_no') scheme, data->>'loan_no' as loan_no,
        data->'item'->>'payee' as institution, data->'item'->>'recommender' as department
    from told where name = 'CompensationInstructed' and data->'item'->>'payee' is not null
    order by scheme, data->>'loan_no', position
)
select told.scheme, told.event_id, loans.institution, loans.department
from told join loans on loans.scheme = told.scheme and loans.loan_no = told.data->>'loan_no'
"""


@dataclass(frozen=True)
class Books:
    """The books of one scheme, read on one connection."""

    connection: AsyncConnection
    scheme: str
    days: FromClause = account_days
    party_days: FromClause = party_days

    def of_the_journal(self) -> Self:
        """The same books, added up from the journal's rows."""
        return type(self)(self.connection, self.scheme, _lines(), _party_lines(self.scheme))

    async def span(self) -> tuple[date, date] | None:
        """The first and the last day on which money moved; None while none has."""
        day = account_days.c.day
        query = select(func.min(day).label("first"), func.max(day).label("last"))
        row = (await self.connection.execute(query.where(account_days.c.scheme == self.scheme))).one()
        return (row.first, row.last) if row.first else None

    def movements(self, first: date, last: date) -> CompoundSelect[Any]:
        """The query behind ``figures``: where the available accounts stood before, and what moved on each account.

        Each account's opening is a range of the primary key of its own: a third of the time of one read for all three.
        """
        days = self.days.c
        net = func.sum(days.debit_fen - days.credit_fen)
        openings: list[Any] = [
            select(literal(account, Text).label("account"), net.label("net"), literal_column("true").label("is_before"))
            .where(days.scheme == self.scheme, days.account == account, days.day < first)
            for account in AVAILABLE
        ]  # fmt: skip
        within = select(days.account, net, literal_column("false")).where(days.scheme == self.scheme)
        return union_all(*openings, within.where(days.day.between(first, last)).group_by(days.account))

    async def figures(self, first: date, last: date) -> Figures:
        """The figures of a period, both days in it."""
        opening: dict[str, int] = {}
        moved: dict[str, int] = {}
        for row in await self.connection.execute(self.movements(first, last)):
            kind = row.account.partition(":")[0]
            into = opening if row.is_before else moved
            into[kind] = into.get(kind, 0) + int(row.net or 0)
        opening_fen = sum(opening.values())
        closing_fen = opening_fen + sum(moved.get(account, 0) for account in AVAILABLE)

        def credited(account: str) -> int:
            return -moved.get(account, 0)

        return Figures(
            opening.get(CASH, 0), opening_fen, credited(CAPITAL), credited(INCOME), -credited(PAID["compensation"]),
            -credited(PAID["subsidy"]), -credited(PAID["fee"]), credited(RECEIVED["recovery"]),
            credited(RECEIVED["clawback"]), credited(RECEIVED["other"]), credited(WRITTEN_OFF), closing_fen,
            opening.get(CASH, 0) + moved.get(CASH, 0),
        )  # fmt: skip

    async def curve(self, first: date, last: date) -> list[DayEnd]:
        """The end of every day on which money moved; the first is the day before the period, its opening."""
        opening, days = first - timedelta(days=1), self.days.c
        net = days.debit_fen - days.credit_fen
        cash = case((days.account == CASH, net), else_=0)
        lines = select(func.greatest(days.day, opening).label("day"), net.label("net"), cash.label("cash"))
        lines = lines.where(days.scheme == self.scheme, days.account.in_(AVAILABLE), days.day <= last)
        moved = lines.subquery("moved")
        sums = func.sum(moved.c.cash).label("cash"), func.sum(moved.c.net).label("net")
        by_day = select(moved.c.day, *sums).group_by(moved.c.day).subquery("by_day")
        query = select(
            by_day.c.day, func.sum(by_day.c.cash).over(order_by=by_day.c.day).label("cash"),
            func.sum(by_day.c.net).over(order_by=by_day.c.day).label("balance"),
        )  # fmt: skip
        rows = await self.connection.execute(query.order_by(by_day.c.day))
        found = [DayEnd(row.day, int(row.cash), int(row.balance)) for row in rows]
        return found if found and found[0].day == opening else [DayEnd(opening, 0, 0), *found]

    async def parties(self, by: Party, first: date, last: date) -> list[PartyFigures]:
        """What moved in a period of the compensations of each institution or each department, in order of its name."""
        days = self.party_days.c
        name = days[by]
        query = select(
            name.label("name"), days.account, func.sum(days.debit_fen).label("debit"),
            func.sum(days.credit_fen).label("credit"),
        ).where(days.scheme == self.scheme, days.day.between(first, last))  # fmt: skip
        moved: dict[str, dict[str, tuple[int, int]]] = {}
        for row in await self.connection.execute(query.group_by(name, days.account)):
            moved.setdefault(row.name, {})[row.account] = int(row.debit), int(row.credit)
        return [_party(name, accounts) for name, accounts in sorted(moved.items())]

    async def moved(self, first: date, last: date) -> set[tuple[Any, ...]]:
        """Every row that the roll-ups hold of a period, or must hold: day, account, its parties, debit and credit."""
        found: set[tuple[Any, ...]] = set()
        parts: Iterable[tuple[Any, tuple[str, ...]]] = (
            (self.days.c, ("day", "account")), (self.party_days.c, ("day", "account", "institution", "department")),
        )  # fmt: skip
        for days, names in parts:
            keys = [days[name] for name in names]
            query = select(*keys, func.sum(days.debit_fen), func.sum(days.credit_fen)).group_by(*keys)
            query = query.where(days.scheme == self.scheme, days.day.between(first, last))
            found |= {(*row[:-2], int(row[-2]), int(row[-1])) for row in await self.connection.execute(query)}
        return found


def _party(name: str, accounts: dict[str, tuple[int, int]]) -> PartyFigures:
    compensated, returned = accounts.get(PAID["compensation"], (0, 0))

    def credited(account: str) -> int:
        debit, credit = accounts.get(account, (0, 0))
        return credit - debit

    recovered, clawed_back = credited(RECEIVED["recovery"]), credited(RECEIVED["clawback"])
    return PartyFigures(name, compensated, returned, recovered, clawed_back, credited(WRITTEN_OFF))
