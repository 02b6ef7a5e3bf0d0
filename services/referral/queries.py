"""What surrounds an enterprise: the cases tied to it by controllers and holdings, and the bars in force."""

from sqlalchemy import Text, cast, literal
from sqlalchemy.dialects.postgresql import ARRAY

from services.referral import tables
from services.referral.aggregates import BARS, CASES
from services.referral.domain.case import Case
from services.referral.domain.findings import Surroundings
from services.referral.domain.group import parties_of
from shared.contracts.commands import Application
from shared.messaging.unit_of_work import UnitOfWork


async def surroundings(uow: UnitOfWork, uscc: str, application: Application) -> Surroundings:
    """Every other case that a chain of controllers or holders ties to this enterprise, and the bars of the day."""
    found: dict[str, Case] = {}
    known: set[str] = set()
    new = set(parties_of(uscc, application))
    while new:
        known |= new
        wanted = cast(literal(sorted(new), ARRAY(Text)), ARRAY(Text))
        tied = [case for case in await uow.select(CASES, tables.cases.c.parties.has_any(wanted)) if case.uscc != uscc]
        found.update((case.uscc, case) for case in tied)
        new = {party for case in tied for party in case.parties} - known
    bars = await uow.select(BARS, tables.bars.c.until >= uow.today.isoformat())
    return Surroundings(tuple(found[code] for code in sorted(found)), tuple(bars))


async def amended_surroundings(uow: UnitOfWork, case: Case | None, changes: dict[str, object]) -> Surroundings:
    """The surroundings of a case as an amendment would leave it; none without a case."""
    if case is None:
        return Surroundings()
    return await surroundings(uow, case.uscc, case.application.model_copy(update=changes))
