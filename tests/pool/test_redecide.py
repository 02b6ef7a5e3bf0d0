"""What the pool recorded is what its rules give again, from each decision's first event and the state before it."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from services.pool.redecide import Redecision, Undecidable
from shared.contracts.base import Event
from shared.contracts.pool import (
    CapitalInjected,
    CompensationHeld,
    CompensationInstructed,
    FundsBooked,
    PoolPaused,
    StatementReconciled,
    WriteOffBooked,
)
from tests.pool.world import DEFAULT, World, fen, item

Decided = list[tuple[date, tuple[Event, ...]]]


class Remembering(World):
    """A world that keeps its decisions apart, with their days."""

    def __init__(self) -> None:
        self.decided: Decided = []
        super().__init__()

    def record(self, decision: Any) -> Any:
        done = super().record(decision)
        if done.events:
            self.decided.append((self.today, done.events))
        return done


def eventful() -> Decided:
    """Everything that the pool decides on: capital, payouts, a pause, a restart, returns, write-offs, fees, reports."""
    world = Remembering()
    world.claim("A", "20600000.00")
    world.settle("D000001")
    world.approve(item("A", fen("1.00")), item("B", fen("9000000.00")), half="2026H2")
    world.notice()
    world.today += timedelta(days=20)
    world.recover("A", "10000000.00")
    world.give_back(world.instructed("B")[0])
    world.notice()
    world.write_off("A", "99999999.00")
    world.receive("clawback", "A", "1000.00")
    world.receive("other", None, "12.34")
    world.subsidy("P", "30000.01")
    subsidy = next(d.id for (kind, _), d in world.states.items() if kind == "disbursement" and d.kind == "subsidy")
    world.settle(subsidy)
    world.income("400000.00", "2026")
    world.income("-1.00", "2026")
    balance = world.fund.cash_fen
    world.statement(balance, world.today, balance)
    world.statement(balance + 1, world.today, balance)
    world.today = date(2027, 2, 1)
    world.fee("drc", 2026, "0.15")
    world.fee("finance", 2026, "0.15")
    return world.decided


DECIDED = eventful()


def again(decided: Decided) -> list[tuple[str, str]]:
    """The events that differ: what was recorded, and what the rules give."""
    pool, found = Redecision(), []
    for today, events in decided:
        made = pool.decide(events[0], DEFAULT, today)
        for kept, given in zip(events, made, strict=True):
            if kept.json_data() != given.json_data():
                found.append((kept.json_data(), given.json_data()))
            pool.fold(kept)
    return found


def test_every_decision_of_an_eventful_life_is_made_again_to_the_byte() -> None:
    kinds = {type(event).__name__ for _, events in DECIDED for event in events}
    assert {"PoolPaused", "PoolResumed", "CompensationHeld", "DisbursementReturned", "FeeInstructed"} <= kinds
    assert {"SubsidySettled", "IncomeBooked", "StatementMismatch", "WriteOffBooked", "ApprovalRecorded"} <= kinds
    assert again(DECIDED) == []


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (CapitalInjected, lambda e: e.but(fund=e.fund.but(balance=e.fund.balance + 1))),
        (CompensationInstructed, lambda e: e.but(amount=e.amount + 1)),
        (CompensationHeld, lambda e: e.but(reason="short_of_funds")),
        (FundsBooked, lambda e: e.but(applied=e.applied - 1)),
        (WriteOffBooked, lambda e: e.but(why=None)),
        (PoolPaused, lambda e: e.but(line=e.line - 1)),
        (StatementReconciled, lambda e: e.but(ledger=e.ledger + 1)),
    ],
)
def test_an_event_that_was_changed_is_not_what_the_rules_give(
    kind: type[Event], change: Callable[[Any], Event]
) -> None:
    place = next((d, e) for d, (_, events) in enumerate(DECIDED) for e, one in enumerate(events) if type(one) is kind)
    changed = [(today, list(events)) for today, events in DECIDED[: place[0] + 1]]
    changed[-1][1][place[1]] = change(changed[-1][1][place[1]])
    assert again([(today, tuple(events)) for today, events in changed])


def test_an_event_that_no_message_makes_by_itself_cannot_be_decided() -> None:
    paused = next(e for _, events in DECIDED for e in events if isinstance(e, PoolPaused))
    with pytest.raises(Undecidable, match="no message"):
        Redecision().decide(paused, DEFAULT, date(2026, 3, 2))


def test_capital_that_was_booked_twice_is_refused_by_the_rules() -> None:
    pool, (today, (capital, *_)) = Redecision(), DECIDED[0]
    pool.fold(capital)
    with pytest.raises(Undecidable, match=r"pool\.capital"):
        pool.decide(capital, DEFAULT, today)


def test_the_days_of_the_accounts_add_up_to_what_the_entries_say() -> None:
    pool, totals = Redecision(), dict[str, int]()
    for _, events in DECIDED:
        for event in events:
            pool.fold(event)
            for entry in getattr(event, "entries", ()):
                totals[entry.account] = totals.get(entry.account, 0) + entry.amount
    assert pool.balances_fen() == {account: amount for account, amount in sorted(totals.items()) if amount}
    assert sum(pool.balances_fen().values()) == 0
