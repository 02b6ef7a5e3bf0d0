"""The fund over time: its curves, its pauses, notices, statements, subsidies and fees still to approve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import agreements, fund, fund_days, ledger_entries, loans
from services.gateway.queries import pool
from services.gateway.queries.trail import newest_of
from services.gateway.tables import events
from services.gateway.views import DisbursementView, Page
from shared.money import parse_yuan
from shared.scheme.loader import Scheme

_FIGURES = ("balance", "counter", "pause_line", "resume_line", "state")
_LINES = ("PoolPaused", "PoolResumed")
_STATEMENTS = ("StatementReconciled", "StatementMismatch")


@dataclass(frozen=True)
class Point:
    """The fund at the end of a day, or in the moment of a pause or restart (``event`` and its id)."""

    on: date
    version: int
    balance_fen: int
    counter_fen: int
    pause_line_fen: int
    resume_line_fen: int
    paused: bool
    event: str = ""
    event_id: str = ""


@dataclass(frozen=True)
class Restart:
    """What must happen before compensation goes on: the balance at its line, the re-based counter under its own."""

    balance_missing_fen: int
    counter_after_fen: int
    counter_excess_fen: int


@dataclass(frozen=True)
class Subsidy:
    """A premium subsidy applied for and not decided."""

    policy_no: str
    loan_no: str
    uscc: str
    insurer: str
    premium: str
    amount: str
    applied_on: str
    event_id: str


@dataclass(frozen=True)
class FeeYear:
    """A calendar year's income and the approvals of its fee."""

    year: int
    income_fen: int
    approvals: dict[str, str]
    released: bool


async def curve(connection: AsyncConnection, scheme: str) -> list[Point]:
    """Balance and counter: the last of each day, and the moments of pause and restart between them."""
    wanted = [fund_days.c.figures[name].astext.label(name) for name in _FIGURES]
    days = select(fund_days.c.on, fund_days.c.version, *wanted).where(fund_days.c.scheme == scheme)
    points = [_point(row.on, row._asdict()) for row in await connection.execute(days.order_by(fund_days.c.version))]
    for row in await newest_of(connection, scheme, _LINES, 500):
        points.append(_point(date.fromisoformat(row.data["on"]), row.data["fund"], row.type, row.id))
    known: dict[int, Point] = {}
    for point in points:
        if point.event or point.version not in known:
            known[point.version] = point
    return [known[version] for version in sorted(known)]


def _point(on: date, figures: Mapping[str, Any], event: str = "", event_id: str = "") -> Point:
    return Point(
        on=on,
        version=figures["version"],
        balance_fen=parse_yuan(figures["balance"]),
        counter_fen=parse_yuan(figures["counter"]),
        pause_line_fen=parse_yuan(figures["pause_line"]),
        resume_line_fen=parse_yuan(figures["resume_line"]),
        paused=figures["state"] == "paused",
        event=event,
        event_id=event_id,
    )


def month_ends(points: Sequence[Point]) -> list[Point]:
    """The curve as a table: every month's last point and every pause and restart."""
    last = {(point.on.year, point.on.month): point.version for point in points}
    return [point for point in points if point.event or last[point.on.year, point.on.month] == point.version]


async def restart(connection: AsyncConnection, scheme: Scheme) -> Restart | None:
    """What the paused pool waits for (pool.resume, 三(八)); None while it pays."""
    query = select(fund.c.figures).where(fund.c.scheme == scheme.id)
    figures = (await connection.execute(query)).scalar_one_or_none()
    if figures is None or figures["state"] != "paused":
        return None
    fen = {name: parse_yuan(value) for name, value in figures.items() if isinstance(value, str) and name != "state"}
    net = fen["compensated_gross"] - fen["recovered"] - fen.get("clawed", 0)
    measured = fen["compensated_gross"] if scheme.value("pause.measure") == "gross" else net
    after = max(0, measured)
    return Restart(
        balance_missing_fen=max(0, fen["resume_line"] - fen["balance"]),
        counter_after_fen=after,
        counter_excess_fen=max(0, after - fen["pause_line"] + 1) if after >= fen["pause_line"] else 0,
    )


async def last_pause(connection: AsyncConnection, scheme: str) -> Row[Any] | None:
    """The newest pause."""
    return next(iter(await newest_of(connection, scheme, ("PoolPaused",), 1)), None)


async def statements(connection: AsyncConnection, scheme: str, limit: int = 6) -> Sequence[Row[Any]]:
    """The newest comparisons of the custodian's statement with the ledger (pool.reconcile)."""
    return await newest_of(connection, scheme, _STATEMENTS, limit)


async def notices(connection: AsyncConnection, scheme: str, year: int) -> Sequence[Row[Any]]:
    """The payout notices of a calendar year."""
    found = await newest_of(connection, scheme, ("PayoutNoticeIssued",), 50)
    return [row for row in found if row.data["on"][:4] == str(year)]


async def unreleased(connection: AsyncConnection, scheme: str) -> tuple[int, int]:
    """How many consented compensations no notice has released yet, and their sum in fen."""
    query = select(func.count(), func.coalesce(func.sum(loans.c.approved_fen), 0)).where(pool.unreleased(scheme))
    count, total = (await connection.execute(query)).one()
    return int(count), int(total)


async def to_confirm(connection: AsyncConnection, scheme: str, limit: int = 100) -> Page[DisbursementView]:
    """Instructed transfers that the custodian has not confirmed, oldest first."""
    return await pool.disbursement_list(
        connection, scheme, status="instructed", loan_no=None, kind=None, party=None, limit=limit, cursor=None
    )


async def subsidies(connection: AsyncConnection, scheme: str) -> list[Subsidy]:
    """Subsidies applied for and not decided (pool.subsidy, 二(五)3)."""
    policy = events.c.data["policy_no"].astext
    decided = (
        select(policy.label("policy_no"), func.max(events.c.position).label("position"))
        .where(events.c.scheme == scheme, events.c.type.in_(("SubsidyApproved", "SubsidyRefused")))
        .group_by(policy)
        .subquery()
    )
    query = (
        select(events)
        .outerjoin(decided, decided.c.policy_no == policy)
        .where(events.c.scheme == scheme, events.c.type == "SubsidyApplied")
        .where(events.c.position > func.coalesce(decided.c.position, 0))
        .order_by(events.c.position)
        .limit(100)
    )
    names = ("policy_no", "loan_no", "uscc", "insurer", "premium", "amount", "applied_on")
    return [
        Subsidy(**{name: row.data[name] for name in names}, event_id=row.id) for row in await connection.execute(query)
    ]


async def fee_years(connection: AsyncConnection, scheme: str) -> list[FeeYear]:
    """Years with income and how far the approval of each one's fee is (pool.fee, 二(二)2)."""
    year = func.substr(ledger_entries.c.account, len("income:") + 1)
    total = -func.sum(ledger_entries.c.amount_fen)
    of_income = (ledger_entries.c.account >= "income:", ledger_entries.c.account < "income;")
    earned = select(year, total).where(ledger_entries.c.scheme == scheme, *of_income)
    income = {int(name): int(fen) for name, fen in await connection.execute(earned.group_by(year))}
    approvals: dict[int, dict[str, str]] = {one: {} for one in income}
    released = set()
    for row in await newest_of(connection, scheme, ("FeeApproval", "FeeReleased"), 200):
        if row.type == "FeeReleased":
            released.add(row.data["year"])
        else:
            approvals.setdefault(row.data["year"], {})[row.data["by"]] = row.data["rate"]
    return [
        FeeYear(year=one, income_fen=income.get(one, 0), approvals=approvals[one], released=one in released)
        for one in sorted(approvals, reverse=True)
    ]


async def fee_rate(connection: AsyncConnection, scheme: str) -> Decimal | None:
    """The fee rate of the newest custodian agreement."""
    query = select(agreements.c.fee_rate).where(agreements.c.scheme == scheme, agreements.c.kind == "custodian")
    rate: Decimal | None = (await connection.execute(query.order_by(agreements.c.valid_to.desc()).limit(1))).scalar()
    return rate
