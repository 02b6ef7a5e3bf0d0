"""Duties that come back every period: done, due or overdue, from events only (obligations, scheme.md section 7)."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.policy import GatewayPolicy, Obligation
from services.gateway.projections.tables import agreements, referrals, reports
from services.gateway.views import ObligationView
from shared.calendar import add_months, half_of, quarter_of
from shared.scheme.loader import Scheme

_MONTHS = {"quarter": 3, "half": 6, "year": 12}
_LONGEST_YEARS = 30


@dataclass(frozen=True)
class Period:
    """A quarter, half or year: its name, first day and last day."""

    name: str
    begins: date
    ends: date


def periods(kind: str, begins: date, as_of: date) -> Iterator[Period]:
    """Every period from the one that ``begins`` lies in to the one that ``as_of`` lies in."""
    months = _MONTHS[kind]
    first = date(begins.year, (begins.month - 1) // months * months + 1, 1)
    last = min(as_of, date(begins.year + _LONGEST_YEARS, 12, 31))
    while first <= last:
        following = add_months(first, months)
        names = {"quarter": quarter_of(first), "half": half_of(first), "year": str(first.year)}
        yield Period(names[kind], first, following - timedelta(days=1))
        first = following


def due_date(period: Period, due_months: int) -> date:
    """The last day of the n-th month after the period's end."""
    month = add_months(period.ends.replace(day=1), due_months)
    return month.replace(day=monthrange(month.year, month.month)[1])


async def obligation_list(connection: AsyncConnection, scheme: Scheme, as_of: date) -> list[ObligationView]:
    """Every duty whose period has begun by ``as_of``, as it stood on that day, by due date."""
    policy = scheme.policy(GatewayPolicy)
    done = await _done(connection, scheme.id, policy, as_of)
    custodian = await _custodian(connection, scheme.id)
    views = [
        _view(scheme, duty, period, organisation, done.get((duty.kind, period.name, organisation)), as_of)
        for duty in policy.obligations
        for period in periods(duty.period, policy.effective_from, as_of)
        for organisation in _bound(scheme, policy, duty, period, custodian)
    ]
    return sorted(views, key=lambda view: (view.due_on, view.kind, view.organisation))


def _view(
    scheme: Scheme, duty: Obligation, period: Period, organisation: str, done_on: date | None, as_of: date
) -> ObligationView:
    due_on = due_date(period, duty.due_months)
    state = "done" if done_on else "overdue" if as_of > due_on else "due"
    return ObligationView(
        kind=duty.kind,
        period=period.name,
        organisation=organisation,
        due_on=due_on,
        state=state,
        done_on=done_on,
        rule=duty.rule,
        clause=scheme.clause(duty.rule),
    )


def _bound(scheme: Scheme, policy: GatewayPolicy, duty: Obligation, period: Period, custodian: str) -> list[str]:
    """Who owes the duty; departments refer only while the scheme is in force (eligible.term)."""
    if duty.by == "custodian":
        return [custodian]
    if duty.by == "department" and period.begins >= add_months(policy.effective_from, 12 * policy.years):
        return []
    return sorted(one.id for one in scheme.organisations.values() if one.kind == duty.by)


async def _custodian(connection: AsyncConnection, scheme: str) -> str:
    query = select(agreements.c.institution).where(agreements.c.scheme == scheme, agreements.c.kind == "custodian")
    found: str | None = (
        await connection.execute(query.order_by(agreements.c.valid_to.desc()).limit(1))
    ).scalar_one_or_none()
    return found or "custodian"


async def _done(
    connection: AsyncConnection, scheme: str, policy: GatewayPolicy, as_of: date
) -> dict[tuple[str, str, str], date]:
    """When each duty of a period was done: the date of the report, or of the referral that filled the quota."""
    done: dict[tuple[str, str, str], date] = {}
    custodian = await _custodian(connection, scheme)
    filed = select(reports).where(reports.c.scheme == scheme, reports.c.done_on <= as_of)
    for row in await connection.execute(filed):
        owner = {duty.kind: custodian if duty.by == "custodian" else duty.by for duty in policy.obligations}
        done[row.kind, row.period, owner.get(row.kind, row.organisation)] = row.done_on
    place = func.row_number().over(
        partition_by=(referrals.c.recommender, referrals.c.quarter),
        order_by=(referrals.c.referred_on, referrals.c.uscc),
    )
    made = select(referrals, place.label("place")).where(referrals.c.scheme == scheme, referrals.c.referred_on <= as_of)
    counted = made.subquery()
    quotas = [duty.kind for duty in policy.obligations if duty.by == "department"]
    for row in await connection.execute(select(counted).where(counted.c.place == policy.referrals_per_quarter)):
        done.update({(kind, row.quarter, row.recommender): row.referred_on for kind in quotas})
    return done
