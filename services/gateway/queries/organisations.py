"""Institutions and departments, and the kind of an organisation."""

from collections.abc import Iterable

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.queries.paging import page
from services.gateway.tables import agreements, compensated, department_flags, loans, payouts, referrals, sanctions
from services.gateway.views import DepartmentView, FlagView, InstitutionView, Page, SanctionView
from shared.messaging.tables import institutions
from shared.scheme.loader import Organisation, Scheme

OPERATOR = "operator"


async def kind_of(connection: AsyncConnection, scheme: Scheme, organisation: str) -> str:
    """The kind of an agency or institution, ``operator`` for who runs the machines, empty without an agreement."""
    if organisation == OPERATOR:
        return OPERATOR
    if organisation in scheme.organisations:
        return scheme.organisations[organisation].kind
    query = select(institutions.c.kind).where(institutions.c.scheme == scheme.id, institutions.c.id == organisation)
    kind: str | None = (await connection.execute(query)).scalar_one_or_none()
    return kind or ""


async def institution_list(
    connection: AsyncConnection,
    scheme: str,
    *,
    kind: str | None,
    institution: str | None,
    limit: int,
    cursor: str | None,
) -> Page[InstitutionView]:
    """Institutions by id with their agreements, sanctions and numbers of loans."""
    query = select(agreements, agreements.c.institution.label("id")).where(agreements.c.scheme == scheme)
    if kind is not None:
        query = query.where(agreements.c.kind == kind)
    if institution is not None:
        query = query.where(agreements.c.institution == institution)
    found = await page(connection, query, [agreements.c.institution], lambda row: dict(row._mapping), limit, cursor)
    ids = [row["id"] for row in found.items]
    punished, counts = await _sanctions(connection, scheme, ids), await _loans(connection, scheme, ids)
    views = [
        InstitutionView.model_validate(
            {
                **row,
                "sanctions": punished[row["id"]],
                **counts[row["id"]],
                "terminated": any(s.measure == "terminate" for s in punished[row["id"]]),
            }
        )
        for row in found.items
    ]
    return Page(items=views, next_cursor=found.next_cursor)


async def _sanctions(connection: AsyncConnection, scheme: str, ids: Iterable[str]) -> dict[str, list[SanctionView]]:
    by_institution: dict[str, list[SanctionView]] = {one: [] for one in ids}
    query = select(sanctions).where(sanctions.c.scheme == scheme, sanctions.c.institution.in_(by_institution))
    for row in await connection.execute(query.order_by(sanctions.c.sanctioned_on, sanctions.c.event_id)):
        by_institution[row.institution].append(SanctionView.model_validate(dict(row._mapping)))
    return by_institution


async def _loans(connection: AsyncConnection, scheme: str, ids: Iterable[str]) -> dict[str, dict[str, int]]:
    counts = {one: {"loans": 0, "compensated": 0} for one in ids}
    paid = and_(payouts.c.scheme == loans.c.scheme, payouts.c.kind == "compensation", payouts.c.ref == loans.c.loan_no)
    settled = func.count().filter(payouts.c.settled_fen > 0).label("settled")
    party = or_(
        agreements.c.institution == loans.c.lender,
        agreements.c.institution == loans.c.guarantor,
        agreements.c.institution == loans.c.insurer,
    )
    query = (
        select(agreements.c.institution, func.count().label("all"), settled)
        .select_from(
            agreements.join(loans, and_(loans.c.scheme == agreements.c.scheme, party)).outerjoin(payouts, paid)
        )
        .where(agreements.c.scheme == scheme, agreements.c.institution.in_(counts))
        .group_by(agreements.c.institution)
    )
    for row in await connection.execute(query):
        counts[row.institution] = {"loans": row.all, "compensated": row.settled}
    return counts


async def department(connection: AsyncConnection, scheme: str, organisation: Organisation) -> DepartmentView:
    """A recommender's referrals by quarter, compensated enterprises by year, and flags."""
    table = referrals
    made = select(table.c.quarter, func.count()).where(table.c.scheme == scheme, table.c.recommender == organisation.id)
    by_quarter = await connection.execute(made.group_by(table.c.quarter).order_by(table.c.quarter))
    lost = select(compensated.c.year, func.count()).where(
        compensated.c.scheme == scheme, compensated.c.department == organisation.id
    )
    by_year = await connection.execute(lost.group_by(compensated.c.year).order_by(compensated.c.year))
    raised = select(department_flags).where(
        department_flags.c.scheme == scheme, department_flags.c.department == organisation.id
    )
    flags = [
        FlagView(year=row.year, enterprises=row.enterprises)
        for row in await connection.execute(raised.order_by(department_flags.c.year))
    ]
    return DepartmentView(
        id=organisation.id,
        kind=organisation.kind,
        name=organisation.name,
        referrals={quarter: count for quarter, count in by_quarter},
        compensated={str(year): count for year, count in by_year},
        flag=bool(flags),
        flags=flags,
    )
