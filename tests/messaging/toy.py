"""A small service on the real core, for the messaging tests: it adds up what it is told, and fails on request."""

from sqlalchemy import BigInteger, Column, Computed, MetaData

from shared.aggregates import Aggregate, aggregate_table
from shared.contracts.base import Event, Shape
from shared.contracts.commands import VetoEnterprise
from shared.contracts.gateway import BusinessDayStarted
from shared.contracts.partners import FinancingDeclined
from shared.contracts.review import EnterpriseVetoed, FinancingRefused
from shared.decisions import Accepted, Decision, Refusal
from shared.messaging.service import Service
from shared.messaging.unit_of_work import NotYet, UnitOfWork


class Tally(Shape):
    """How often something happened to one enterprise, and by which reasons."""

    count: int = 0
    reasons: tuple[str, ...] = ()


def evolve(before: Tally | None, event: Event) -> Tally:
    """Count one more."""
    state = before or Tally()
    reason = event.reason if isinstance(event, FinancingRefused | EnterpriseVetoed) else ""
    return Tally(count=state.count + 1, reasons=(*state.reasons, reason))


metadata = MetaData()
tallies = aggregate_table(
    "tallies", metadata, Column("count", BigInteger, Computed("((doc ->> 'count')::bigint)", persisted=True))
)
TALLY = Aggregate("tally", tallies, Tally, evolve, lambda event: (event.about,) if event.case else ())


async def financing_declined(uow: UnitOfWork, event: FinancingDeclined) -> Decision:
    """``bug`` raises, ``refuse`` refuses, ``again`` is a duplicate; all else counts."""
    if event.reason == "bug":
        raise ZeroDivisionError("a bug")
    if event.reason == "refuse":
        return Refusal("loan.pushed")
    if event.reason == "again":
        return Accepted(duplicate=True)
    return Accepted((FinancingRefused(uscc=event.uscc, institution=uow.sender, reason=event.reason),))


async def veto(uow: UnitOfWork, command: VetoEnterprise) -> Decision:
    """Counts."""
    return Accepted((EnterpriseVetoed(uscc=command.uscc, reason=command.reason),), {"today": str(uow.today)})


async def day(uow: UnitOfWork, event: BusinessDayStarted) -> Decision:
    """Waits until a tally X is there; then counts the day for it."""
    if await uow.load(TALLY, "X") is None:
        raise NotYet("no X")
    return Accepted((EnterpriseVetoed(uscc="X", reason=str(event.date)),))


SERVICE = Service(
    name="review",
    aggregates=(TALLY,),
    commands={VetoEnterprise: veto},
    partner_events={FinancingDeclined: financing_declined},
    events={BusinessDayStarted: day},
    receipts=True,
)
app = SERVICE.asgi()
