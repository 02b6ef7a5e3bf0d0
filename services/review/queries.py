"""Which cases and agreements a decision needs to see."""

from datetime import date

from sqlalchemy import and_, or_

from services.review.aggregates import AGREEMENTS, CASES
from services.review.domain.agreements import Agreement
from services.review.domain.cases import Case
from shared.messaging.unit_of_work import UnitOfWork


async def agreements(uow: UnitOfWork) -> dict[str, Agreement]:
    """Every institution's agreement, by institution."""
    return {agreement.institution: agreement for agreement in await uow.select(AGREEMENTS)}


async def group_of(uow: UnitOfWork, case: Case | None) -> list[Case]:
    """The other cases tied to this one, whichever of the two names the other (eligible.once)."""
    if case is None:
        return []
    table = CASES.table.c
    named = table.key.in_((*case.affiliates, *case.shareholders))
    naming = or_(table.affiliates.has_key(case.uscc), table.shareholders.has_key(case.uscc))
    return await uow.select(CASES, table.key != case.uscc, or_(named, naming))


async def due_on(uow: UnitOfWork, day: date) -> list[Case]:
    """The cases whose push or rating a new day ends (push.failed, grade.lifetime)."""
    table = CASES.table.c
    late = and_(table.status == "pushed", table.deadline_on < day.isoformat())
    old = and_(table.status.in_(("rated", "pushed")), table.lapses_on < day.isoformat())
    return await uow.select(CASES, or_(late, old))


async def cases_of(uow: UnitOfWork, uscc: str, legal_representative: str) -> list[Case]:
    """The cases of an enterprise and of its legal representative (eligible.bar)."""
    table = CASES.table.c
    return await uow.select(CASES, or_(table.key == uscc, table.legal_representative == legal_representative))
