"""Cases: the need list, one case whole, and the yearly limit of high ratings."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Final, Literal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.policy import GatewayPolicy
from services.gateway.projections.tables import case_parties, cases, high_slots
from services.gateway.queries.disclosure import disclosed, masked, secret_votes
from services.gateway.queries.paging import page
from services.gateway.tables import events
from services.gateway.views import CaseDetailView, CaseView, Page, QuotaView, TimelineView
from shared.money import format_yuan

_LONG: Final = ("application", "findings", "preference")
"""What only the case itself shows: lists leave it out."""
Sort = Literal["priority", "date", "need"]
SORTS: Final[tuple[Sort, ...]] = ("priority", "date", "need")
STATUS = case(
    (cases.c.referral_status.in_(("withdrawn", "refused")), cases.c.referral_status),
    (cases.c.review_status.is_not(None), cases.c.review_status),
    else_=func.coalesce(cases.c.referral_status, literal("referred", Text)),
)

_HAPPENED = (
    select(events)
    .where(events.c.scheme == bindparam("of_scheme"), events.c.about.contains(bindparam("codes", type_=ARRAY(Text))))
    .order_by(events.c.position)
)


def _query(
    scheme: str, policy: GatewayPolicy, party: str | None, *, whole: bool = False
) -> tuple[Select[Any], ColumnElement[int]]:
    """All cases of a scheme with status and rank (0 is a priority); ``party`` sees only those it takes part in."""
    return _made(scheme, policy.priority_sectors, policy.priority_traits, party, whole)


@lru_cache(1_000)
def _made(
    scheme: str, sectors: Sequence[str], traits: Sequence[str], party: str | None, whole: bool
) -> tuple[Select[Any], ColumnElement[int]]:
    has_trait = cases.c.traits.op("?|")(cast(array(traits), array([""]).type))
    first = or_(cases.c.sector.in_(sectors), has_trait)
    rank = cast(case((func.coalesce(first, False), 0), else_=1), Integer)
    shown = [column for column in cases.c if whole or column.name not in _LONG]
    query = select(*shown, STATUS.label("status"), rank.label("rank")).where(cases.c.scheme == scheme)
    if party is not None:
        mine = select(case_parties.c.uscc).where(
            case_parties.c.scheme == scheme, case_parties.c.institution == party, case_parties.c.uscc == cases.c.uscc
        )
        query = query.where(mine.exists())
    return query, rank


def _fields(row: Row[Any]) -> dict[str, Any]:
    need = None if row.need_fen is None else format_yuan(row.need_fen)
    return {**row._mapping, "need": need, "priority": row.rank == 0}


async def case_list(
    connection: AsyncConnection,
    scheme: str,
    policy: GatewayPolicy,
    *,
    status: str | Sequence[str] | None,
    recommender: str | None,
    party: str | None,
    limit: int,
    cursor: str | None,
    sector: str | None = None,
    q: str | None = None,
    sort: Sort = "priority",
    among: ColumnElement[bool] | None = None,
) -> Page[CaseView]:
    """Cases, priority sectors and traits first, then by date of referral (priority.sector, 二(一)).

    ``q`` is part of a name or code; by ``date`` the newest come first, by ``need`` the largest.
    """
    query, rank = _query(scheme, policy, party)
    query = query.where(*_filters(status, recommender, sector, q))
    if among is not None:
        query = query.where(among)
    referred_on = func.coalesce(cases.c.referred_on, literal(date.min, Date))
    newest = literal(date(2200, 1, 1), Date) - referred_on
    largest = cast(-func.coalesce(cases.c.need_fen, 0), BigInteger)
    order: dict[Sort, list[ColumnElement[Any]]] = {
        "priority": [rank, referred_on, cases.c.uscc],
        "date": [cast(newest, Integer), cases.c.uscc],
        "need": [largest, cases.c.uscc],
    }
    return await page(connection, query, order[sort], _view, limit, cursor, cases.c.uscc)


def _view(row: Row[Any]) -> CaseView:
    return CaseView.model_validate(_fields(row))


async def case_count(
    connection: AsyncConnection,
    scheme: str,
    policy: GatewayPolicy,
    *,
    status: str | Sequence[str] | None,
    recommender: str | None,
    party: str | None,
    sector: str | None = None,
    q: str | None = None,
) -> int:
    """How many cases these filters leave."""
    query, _ = _query(scheme, policy, party)
    kept = query.with_only_columns(func.count()).where(*_filters(status, recommender, sector, q))
    found: int = (await connection.execute(kept)).scalar_one()
    return found


def _filters(
    status: str | Sequence[str] | None, recommender: str | None, sector: str | None, q: str | None
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if status:
        found.append(STATUS.in_((status,) if isinstance(status, str) else tuple(status)))
    if recommender:
        found.append(cases.c.recommender == recommender)
    if sector:
        found.append(cases.c.sector == sector)
    if q and q.strip():
        wanted = q.strip()
        name, code = cases.c.name, cases.c.uscc
        found.append(or_(name.icontains(wanted, autoescape=True), code.istartswith(wanted, autoescape=True)))
    return found


async def one_case(
    connection: AsyncConnection, scheme: str, policy: GatewayPolicy, uscc: str, party: str | None, seat: str = ""
) -> CaseDetailView | None:
    """A case with everything that happened to it, or None; identity numbers are shown to agencies only.

    Votes of an open ballot are shown to the ``seat`` that cast them only.
    """
    query, _ = _query(scheme, policy, party, whole=True)
    row = (await connection.execute(query.where(cases.c.uscc == uscc))).one_or_none()
    if row is None:
        return None
    found = (await connection.execute(_HAPPENED, {"of_scheme": scheme, "codes": [uscc]})).all()
    secret = await secret_votes(connection, found, seat)
    timeline = [
        TimelineView(
            id=event.id,
            at=event.at,
            type=event.type,
            service=event.service,
            data=disclosed(event, secret, party, uscc),
            why=event.why,
        )
        for event in found
    ]
    preference = [one for one in row.preference if party in (None, one.get("institution"))]
    shown = {**_fields(row), "timeline": timeline, "preference": preference}
    return CaseDetailView.model_validate(
        {**shown, "application": masked(row.application) if party else row.application}
    )


async def high_quota(connection: AsyncConnection, scheme: str, policy: GatewayPolicy, year: int) -> QuotaView:
    """How many high ratings of a calendar year are taken (grade.high_quota, 二(四))."""
    query = select(high_slots.c.uscc).where(high_slots.c.scheme == scheme, high_slots.c.year == year)
    taken = sorted((await connection.execute(query)).scalars())
    left = max(policy.high_per_year - len(taken), 0)
    return QuotaView(year=year, limit=policy.high_per_year, used=len(taken), left=left, enterprises=taken)
