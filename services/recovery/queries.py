"""Which recoveries a message is about."""

from datetime import date

from services.recovery import tables
from services.recovery.aggregates import RECOVERIES
from services.recovery.domain.recovery import Recovery
from shared.messaging.unit_of_work import UnitOfWork


async def recoveries_due(uow: UnitOfWork, day: date) -> list[Recovery]:
    """The recoveries with a share past its due date that nobody flagged yet."""
    return await uow.select(RECOVERIES, tables.recoveries.c.next_due_on < day.isoformat())


async def recoveries_of(uow: UnitOfWork, loan_nos: tuple[str, ...]) -> list[Recovery]:
    """The recoveries of these loans, ordered by loan number; loans without one are left out."""
    return await uow.select(RECOVERIES, tables.recoveries.c.key.in_(loan_nos))
