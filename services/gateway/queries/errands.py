"""Work that follows from what several services say together: notices, transfers, remittances, reports, quotas."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.policy import GatewayPolicy
from services.gateway.projections.tables import (
    cases,
    disbursements,
    fund,
    loans,
    payouts,
    recoveries,
    referrals,
    reports,
)
from services.gateway.queries.obligations import due_date, periods
from services.gateway.tables import events
from shared.calendar import add_months, quarter_of
from shared.money import format_yuan, parse_yuan

BATCH_RULE = "batch.half_year"
REPORTS = ("half", "year")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Errand:
    """One piece of work as it was found; ``figures`` are (field, value) to show with it."""

    kind: str
    about: str
    since: date
    due_on: date | None = None
    uscc: str | None = None
    name: str = ""
    half: str | None = None
    figures: tuple[tuple[str, str], ...] = ()


Source = Callable[[AsyncConnection, Caller, date], Awaitable[list[Errand]]]


async def errands(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """All of the caller's organisation."""
    return [one for source in _SOURCES.get(caller.kind, ()) for one in await source(connection, caller, today)]


async def _notice(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """Consented compensations that no notice has released (pool.notice, 三(六))."""
    released = select(payouts.c.ref).where(
        payouts.c.scheme == loans.c.scheme, payouts.c.kind == "compensation", payouts.c.ref == loans.c.loan_no
    )
    query = select(
        func.count().label("number"),
        func.coalesce(func.sum(loans.c.approved_fen), 0).label("amount_fen"),
        func.min(loans.c.claim["consented_on"].astext).label("since"),
    ).where(loans.c.scheme == caller.scheme.id, loans.c.claim_status == "approved", ~released.exists())
    row = (await connection.execute(query)).one()
    if not row.number:
        return []
    figures = (("claims", str(row.number)), ("amount", format_yuan(int(row.amount_fen))))
    return [Errand("notice", "", date.fromisoformat(row.since) if row.since else today, figures=figures)]


async def _reports(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """Reports of periods that are over and not filed (obligations); the verification is a batch, not a report."""
    policy = caller.scheme.policy(GatewayPolicy)
    query = select(reports.c.kind, reports.c.period).where(reports.c.scheme == caller.scheme.id)
    filed = {(row.kind, row.period) for row in await connection.execute(query)}
    return [
        Errand("report", f"{duty.kind}:{period.name}", period.ends + DAY, due_date(period, duty.due_months))
        for duty in policy.obligations
        if duty.by == caller.kind and duty.period in REPORTS and duty.rule != BATCH_RULE
        for period in periods(duty.period, policy.effective_from, today)
        if period.ends < today and (duty.kind, period.name) not in filed
    ]


async def _quota(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """Referrals still missing in this quarter (quota.referrals, 二(三)2), while the scheme is in force."""
    policy = caller.scheme.policy(GatewayPolicy)
    ends = add_months(policy.effective_from, 12 * policy.years)
    duties = [duty for duty in policy.obligations if duty.by == "department" and duty.period == "quarter"]
    if not duties or not policy.effective_from <= today < ends:
        return []
    query = select(func.count()).where(
        referrals.c.scheme == caller.scheme.id,
        referrals.c.recommender == caller.organisation,
        referrals.c.quarter == quarter_of(today),
    )
    made = (await connection.execute(query)).scalar_one()
    if made >= policy.referrals_per_quarter:
        return []
    period = list(periods("quarter", today, today))[-1]
    figures = (("referrals", f"{made} / {policy.referrals_per_quarter}"),)
    due_on = due_date(period, duties[0].due_months)
    return [Errand("quota", period.name, period.begins, due_on, figures=figures)]


async def _capital(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """Approved capital that has not come in (pool.capital, 二(二)1)."""
    policy = caller.scheme.policy(GatewayPolicy)
    approved = sum(parse_yuan(amount) for amount in policy.capital_sources.values())
    query = select(fund.c.figures["capital"].astext).where(fund.c.scheme == caller.scheme.id)
    missing = approved - parse_yuan((await connection.execute(query)).scalar() or "0.00")
    since = min(policy.effective_from, today)
    return [Errand("capital", "", since, figures=(("amount", format_yuan(missing)),))] if missing > 0 else []


async def _disbursements(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """Instructed transfers that the custodian has not confirmed (pool.custodian, 三(六))."""
    table = disbursements
    query = select(table).where(table.c.scheme == caller.scheme.id, table.c.status == "instructed")
    return [
        Errand(
            "disbursement",
            row.id,
            row.instructed_on or today,
            name=row.payee or "",
            figures=(("amount", format_yuan(row.amount_fen)),),
        )
        for row in await connection.execute(query.order_by(table.c.position))
    ]


async def _recoveries(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """The pool's part of recovered money not yet remitted (recovery.remit), and demanded clawbacks (clawback.full)."""
    table = recoveries
    due, back = table.c.pool_share_fen - table.c.remitted_fen, table.c.clawback_fen - table.c.clawed_back_fen
    case = and_(cases.c.scheme == table.c.scheme, cases.c.uscc == table.c.uscc)
    query = select(table, cases.c.name, due.label("due_fen"), back.label("back_fen")).outerjoin(cases, case)
    mine = func.coalesce(table.c.payee, table.c.lender) == caller.organisation
    query = query.where(table.c.scheme == caller.scheme.id, mine, or_(due > 0, back > 0))
    found = []
    for row in await connection.execute(query):
        since = row.opened_on or today
        for kind, amount, due_on in (("remittance", row.due_fen, row.due_on), ("clawback", row.back_fen, None)):
            if amount > 0:
                figures = (("amount", format_yuan(amount)),)
                found.append(Errand(kind, row.loan_no, since, due_on, row.uscc, row.name or "", figures=figures))
    return found


async def _tracking(connection: AsyncConnection, caller: Caller, today: date) -> list[Errand]:
    """Claimed loans whose recommender has not recorded how it presses for repayment (tracking, 四(一))."""
    pressed = select(events.c.position).where(
        events.c.scheme == loans.c.scheme,
        events.c.type == "TrackingRecorded",
        events.c.subject == loans.c.uscc,
        events.c.data["kind"].astext == "recovery_help",
    )
    case = and_(cases.c.scheme == loans.c.scheme, cases.c.uscc == loans.c.uscc)
    query = (
        select(loans.c.loan_no, loans.c.uscc, loans.c.claim["accepted_on"].astext.label("since"), cases.c.name)
        .outerjoin(cases, case)
        .where(
            loans.c.scheme == caller.scheme.id,
            loans.c.recommender == caller.organisation,
            loans.c.claim_status.in_(("claimed", "verified", "approved")),
            ~pressed.exists(),
        )
    )
    return [
        Errand(
            "tracking",
            row.loan_no,
            date.fromisoformat(row.since) if row.since else today,
            uscc=row.uscc,
            name=row.name or "",
        )
        for row in await connection.execute(query)
    ]


_SOURCES: dict[str, tuple[Source, ...]] = {
    "drc": (_notice, _reports),
    "finance": (_capital,),
    "custodian": (_disbursements, _reports),
    "department": (_tracking, _quota),
    "township": (_tracking,),
    "bank": (_recoveries,),
    "lender": (_recoveries,),
    "guarantor": (_recoveries,),
}
