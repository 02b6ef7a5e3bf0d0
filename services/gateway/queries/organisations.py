"""Institutions and departments, and the kind of an organisation."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.institution_views import InstitutionDetailView, InstitutionView, SanctionView
from services.gateway.projections.tables import (
    agreements,
    compensated,
    department_flags,
    loans,
    payouts,
    referrals,
    sanctions,
)
from services.gateway.queries.lending import defaults
from services.gateway.queries.paging import page
from services.gateway.queries.pool import queue_of
from services.gateway.views import DepartmentView, FlagView, Page
from shared.messaging.tables import institutions
from shared.scheme.loader import Organisation, Scheme

OPERATOR = "operator"


async def kind_of(connection: AsyncConnection, scheme: Scheme, organisation: str) -> str:
    """The kind of an agency or institution, ``operator`` for who runs the machines, empty without an agreement."""
    if known := kind_without_agreement(scheme, organisation):
        return known
    query = select(institutions.c.kind).where(institutions.c.scheme == scheme.id, institutions.c.id == organisation)
    kind: str | None = (await connection.execute(query)).scalar_one_or_none()
    return kind or ""


async def names_signed(connection: AsyncConnection, scheme: str) -> dict[str, str]:
    """What institutions are called in their agreements."""
    query = select(agreements.c.institution, agreements.c.name).where(agreements.c.scheme == scheme)
    return {row.institution: row.name for row in await connection.execute(query)}


def kind_without_agreement(scheme: Scheme, organisation: str) -> str:
    """The kind of who needs no agreement: an agency, and who runs the machines; empty for anyone else."""
    if organisation == OPERATOR:
        return OPERATOR
    agency = scheme.organisations.get(organisation)
    return agency.kind if agency else ""


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
        InstitutionView.model_validate({**row, "sanctions": punished[row["id"]], **counts[row["id"]]})
        for row in found.items
    ]
    return Page(items=views, next_cursor=found.next_cursor)


async def one_institution(
    connection: AsyncConnection, scheme: str, institution: str
) -> InstitutionDetailView | None:
    """An institution with its default ratio and its part of the payout queue, or None without an agreement."""
    found = await institution_list(connection, scheme, kind=None, institution=institution, limit=1, cursor=None)
    if not found.items:
        return None
    return InstitutionDetailView(
        **dict(found.items[0]),
        defaults=await defaults(connection, scheme, institution),
        queue=await queue_of(connection, scheme, institution),
    )


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
    return (await departments(connection, scheme, [organisation]))[0]


async def departments(
    connection: AsyncConnection, scheme: str, organisations: Sequence[Organisation]
) -> list[DepartmentView]:
    """Recommenders in the order given, each with its referrals, compensated enterprises and flags."""
    ids = [one.id for one in organisations]
    by_quarter = await _counted(connection, scheme, referrals.c.recommender, referrals.c.quarter, ids)
    by_year = await _counted(connection, scheme, compensated.c.department, compensated.c.year, ids)
    raised = select(department_flags).where(
        department_flags.c.scheme == scheme, department_flags.c.department.in_(ids)
    )
    flags: dict[str, list[FlagView]] = {one: [] for one in ids}
    for row in await connection.execute(raised.order_by(department_flags.c.year)):
        flags[row.department].append(FlagView(year=row.year, enterprises=row.enterprises))
    return [
        DepartmentView(
            id=one.id,
            kind=one.kind,
            name=one.name,
            referrals=by_quarter[one.id],
            compensated=by_year[one.id],
            flag=bool(flags[one.id]),
            flags=flags[one.id],
        )
        for one in organisations
    ]


async def _counted(
    connection: AsyncConnection, scheme: str, owner: Column[str], period: Column[Any], ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    """How many rows of each owner and period, periods in order."""
    table = owner.table
    query = select(owner, period, func.count()).where(table.c.scheme == scheme, owner.in_(ids))
    found: dict[str, dict[str, int]] = {one: {} for one in ids}
    for organisation, name, count in await connection.execute(query.group_by(owner, period).order_by(period)):
        found[organisation][str(name)] = count
    return found
