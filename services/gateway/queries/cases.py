"""Cases: the need list, one case whole, and the yearly limit of high ratings."""

from datetime import date
from typing import Any

from sqlalchemy import Date, Integer, Row, Select, Text, case, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.policy import GatewayPolicy
from services.gateway.queries.paging import page
from services.gateway.tables import case_parties, cases, events, high_slots
from services.gateway.views import CaseDetailView, CaseView, Page, QuotaView, TimelineView

STATUS = case(
    (cases.c.referral_status.in_(("withdrawn", "refused")), cases.c.referral_status),
    (cases.c.review_status.is_not(None), cases.c.review_status),
    else_=func.coalesce(cases.c.referral_status, literal("referred", Text)),
)


def _query(scheme: str, policy: GatewayPolicy, party: str | None) -> tuple[Select[Any], Any]:
    """All cases of a scheme with status and rank (0 is a priority); ``party`` sees only those it takes part in."""
    sector, traits = cases.c.application["sector"].astext, cases.c.application["traits"]
    first = or_(
        sector.in_(policy.priority_sectors), traits.op("?|")(cast(array(policy.priority_traits), array([""]).type))
    )
    rank = cast(case((func.coalesce(first, False), 0), else_=1), Integer)
    query = select(cases, STATUS.label("status"), rank.label("rank")).where(cases.c.scheme == scheme)
    if party is not None:
        mine = select(case_parties.c.uscc).where(
            case_parties.c.scheme == scheme, case_parties.c.institution == party, case_parties.c.uscc == cases.c.uscc
        )
        query = query.where(mine.exists())
    return query, rank


def _fields(row: Row[Any]) -> dict[str, Any]:
    application = row.application or {}
    return {
        **row._mapping,
        "sector": application.get("sector"),
        "need": application.get("need"),
        "priority": row.rank == 0,
    }


async def case_list(
    connection: AsyncConnection,
    scheme: str,
    policy: GatewayPolicy,
    *,
    status: str | None,
    recommender: str | None,
    party: str | None,
    limit: int,
    cursor: str | None,
) -> Page[CaseView]:
    """Cases, priority sectors and traits first, then by date of referral (priority.sector, 二(一))."""
    query, rank = _query(scheme, policy, party)
    if status is not None:
        query = query.where(STATUS.in_((status,)))
    if recommender is not None:
        query = query.where(cases.c.recommender == recommender)
    referred_on = func.coalesce(cases.c.referred_on, literal(date.min, Date))
    return await page(
        connection,
        query,
        [rank, referred_on, cases.c.uscc],
        lambda row: CaseView.model_validate(_fields(row)),
        limit,
        cursor,
    )


async def one_case(
    connection: AsyncConnection, scheme: str, policy: GatewayPolicy, uscc: str, party: str | None
) -> CaseDetailView | None:
    """A case with everything that happened to it, or None; identity numbers are shown to agencies only."""
    query, _ = _query(scheme, policy, party)
    row = (await connection.execute(query.where(cases.c.uscc == uscc))).one_or_none()
    if row is None:
        return None
    happened = (
        select(events).where(events.c.scheme == scheme, events.c.about.contains([uscc])).order_by(events.c.position)
    )
    timeline = [_moment(event, party is not None) for event in await connection.execute(happened)]
    shown = {**_fields(row), "timeline": timeline}
    return CaseDetailView.model_validate(
        {**shown, "application": masked(row.application) if party else row.application}
    )


def _moment(event: Row[Any], mask: bool) -> TimelineView:
    data = masked(event.data) if mask else event.data
    return TimelineView(id=event.id, at=event.at, type=event.type, service=event.service, data=data, why=event.why)


def masked(value: Any) -> Any:
    """A copy in which persons' identity numbers show their last four characters only."""
    if isinstance(value, list):
        return [masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    person = isinstance(value.get("id"), str) and "name" in value
    return {
        key: "*" * (len(item) - 4) + item[-4:] if person and key == "id" else masked(item)
        for key, item in value.items()
    }


async def high_quota(connection: AsyncConnection, scheme: str, policy: GatewayPolicy, year: int) -> QuotaView:
    """How many high ratings of a calendar year are taken (grade.high_quota, 二(四))."""
    query = select(high_slots.c.uscc).where(high_slots.c.scheme == scheme, high_slots.c.year == year)
    taken = sorted((await connection.execute(query)).scalars())
    left = max(policy.high_per_year - len(taken), 0)
    return QuotaView(year=year, limit=policy.high_per_year, used=len(taken), left=left, enterprises=taken)
