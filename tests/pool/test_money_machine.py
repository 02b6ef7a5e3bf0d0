"""Any story of the pool, against a model that knows nothing of the code: it pays fen by fen and keeps plain numbers."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.contracts.pool import CompensationInstructed, PoolEvent, SubsidyInstructed
from shared.decisions import Accepted, Decision
from tests.pool.world import DEFAULT, World, item

LINE, RESUME = 70, 50
SMALL = st.integers(min_value=1, max_value=40)
CLAIM = st.integers(min_value=1, max_value=60) | st.sampled_from([10, 20, 35, 50, 69, 70])


class Model:
    """The pool as a purse: 100 fen of capital, a line at 70, a way back at 50."""

    def __init__(self, crossing: str, measure: str) -> None:
        self.crossing, self.measure = crossing, measure
        self.cash = self.instructed = self.unallocated = self.gross = self.base = self.written_off = 0
        self.came_in = self.went_out = 0
        self.paused = False
        self.queue: list[list[Any]] = []  # [name, left, returned]
        self.paid: dict[str, int] = {}
        self.back: dict[str, int] = {}
        self.off: dict[str, int] = {}
        self.current: str | None = None

    @property
    def available(self) -> int:
        return max(0, self.cash - self.instructed - self.unallocated)

    def counter(self, base: int) -> int:
        net = self.gross - sum(self.back.values())
        return {"cycle": self.gross - base, "net": net, "gross": self.gross}[self.measure]

    def release(self, name: str, amount: int) -> None:
        self.queue.append([name, amount, False])

    def free_returned(self) -> None:
        for entry in self.queue:
            entry[2] = False

    def run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        rebased = min(self.gross, sum(self.back.values()))
        if self.paused and self.available >= RESUME and self.counter(rebased) < LINE and self.fits(rebased):
            self.paused, self.base = False, rebased
            self.free_returned()
            return True
        if not self.paused and self.current is None and self.counter(self.base) >= LINE:
            self.paused = True
            return True
        entry = next((e for e in self.queue if not e[2] and not (self.paused and e[0][0] == "L")), None)
        if self.current is not None:
            entry = next(e for e in self.queue if e[0] == self.current)
        if entry is None or self.available == 0:
            if self.current is not None:
                self.current = None
                return True
            return False
        if entry[0][0] == "L" and self.crossing == "hold" and self.counter(self.base) + entry[1] > LINE:
            self.paused = True
            return True
        self.pay_one_fen(entry)
        return True

    def fits(self, rebased: int) -> bool:
        first = next((e[1] for e in self.queue if e[0][0] == "L"), 0)
        return self.crossing != "hold" or max(0, self.counter(rebased)) + first <= LINE

    def pay_one_fen(self, entry: list[Any]) -> None:
        entry[1] -= 1
        self.instructed += 1
        self.paid[entry[0]] = self.paid.get(entry[0], 0) + 1
        if entry[0][0] == "L":
            self.gross += 1
        finished = entry[1] == 0
        self.current = entry[0] if self.crossing == "in_full" and not finished else None
        if finished:
            self.queue.remove(entry)

    def give_back(self, name: str, amount: int) -> None:
        left = sum(e[1] for e in self.queue if e[0] == name)
        self.queue = [[name, left + amount, True], *(e for e in self.queue if e[0] != name)]
        self.instructed -= amount
        self.paid[name] -= amount
        if name[0] == "L":
            self.gross -= amount

    def receive(self, name: str, amount: int) -> None:
        open_ = max(0, self.paid.get(name, 0) - self.back.get(name, 0))
        applied = min(open_, amount)
        lost = max(0, applied - max(0, open_ - self.off.get(name, 0)))
        self.off[name] = self.off.get(name, 0) - lost
        self.back[name] = self.back.get(name, 0) + applied
        self.unallocated += amount - applied
        self.income(amount)

    def income(self, amount: int) -> None:
        self.cash += amount
        self.came_in += amount


class PoolMachine(RuleBasedStateMachine):
    """Everything that can happen to a pool, in any order, and each thing again."""

    crossing = "to_line"
    measure = "cycle"

    @initialize()
    def begin(self) -> None:
        sources = {"policy_fund": 60, "inclusive_award": 40}
        changes = {"sources": sources, "crossing": self.crossing, "measure": self.measure}
        self.world = World(DEFAULT.model_copy(update=changes), capital=False)
        self.world.today = self.world.today.replace(year=2027)
        self.model = Model(self.crossing, self.measure)
        self.sent: list[Callable[[], Decision]] = []
        self.open: dict[str, tuple[str, int]] = {}
        self.loans: list[str] = []
        self.order: list[str] = []
        self.number = 0
        self.steps_checked = 0
        for source, amount in sources.items():
            self.happen(self.world.inject, source, amount, f"CAP-{source}")
            self.model.income(amount)

    def happen(self, send: Callable[..., Decision], *arguments: Any) -> Decision:
        decision = send(*arguments)
        if isinstance(decision, Accepted):
            self.sent.append(lambda: send(*arguments))
        return decision

    def name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    @rule(amounts=st.lists(CLAIM, min_size=1, max_size=3))
    def consent_and_notice(self, amounts: list[int]) -> None:
        items = [item(self.name("L"), amount) for amount in amounts]
        self.world.approve(*items, half=f"{2000 + self.number}H1")
        self.happen(self.world.notice, "again", self.name("N"))
        self.model.free_returned()
        for one in items:
            self.loans.append(one.loan_no)
            self.order.append(one.loan_no)
            self.model.release(one.loan_no, one.amount)
        self.model.run()

    @precondition(lambda self: any(entry[2] for entry in self.model.queue))
    @rule()
    def notice_for_returned(self) -> None:
        self.happen(self.world.notice, "again", self.name("N"))
        self.model.free_returned()
        self.model.run()

    @rule(amount=SMALL)
    def subsidy(self, amount: int) -> None:
        name = self.name("P")
        self.happen(self.world.subsidy, name, amount)
        self.model.release(name, amount)
        self.model.run()

    @precondition(lambda self: self.loans)
    @rule(data=st.data(), amount=CLAIM, purpose=st.sampled_from(["recovery", "clawback"]))
    def money_for_a_loan(self, data: st.DataObject, amount: int, purpose: str) -> None:
        name = data.draw(st.sampled_from([*self.loans, "nobody's"]))
        self.happen(self.world.receive, purpose, name, amount, self.name("R"))
        self.model.receive(name, amount)
        self.model.run()

    @rule(amount=SMALL)
    def other_money(self, amount: int) -> None:
        self.happen(self.world.receive, "other", None, amount, self.name("R"))
        self.model.income(amount)
        self.model.run()

    @rule(amount=st.integers(min_value=-60, max_value=20))
    def income_or_loss(self, amount: int) -> None:
        decision = self.happen(self.world.income, amount, "2026", self.name("I"))
        assert isinstance(decision, Accepted) == (self.model.cash + amount >= 0)
        if isinstance(decision, Accepted):
            self.model.income(amount)
            self.model.run()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def settled(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        decision = self.happen(self.world.settle, number)
        amount = self.open[number][1]
        assert isinstance(decision, Accepted) == (amount <= self.model.cash)
        if isinstance(decision, Accepted):
            del self.open[number]
            self.model.cash -= amount
            self.model.instructed -= amount
            self.model.went_out += amount
            self.model.run()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def returned(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.open)))
        self.happen(self.world.give_back, number)
        name, amount = self.open.pop(number)
        if name in self.order:
            self.order = [name, *(other for other in self.order if other != name)]
        self.model.give_back(name, amount)
        self.model.run()

    @precondition(lambda self: self.loans)
    @rule(data=st.data(), amount=SMALL)
    def written_off(self, data: st.DataObject, amount: int) -> None:
        name = data.draw(st.sampled_from(self.loans))
        self.world.write_off(name, amount)
        model = self.model
        left = model.paid.get(name, 0) - model.back.get(name, 0) - model.off.get(name, 0)
        model.off[name] = model.off.get(name, 0) + min(amount, max(0, left))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """No effect twice: whatever is sent again is a duplicate or refused, and nothing follows."""
        before = self.world.states.copy()
        decision = data.draw(st.sampled_from(self.sent))()
        assert not decision.events
        assert self.world.states == before

    @invariant()
    def agrees_with_the_model(self) -> None:
        fund, model = self.world.fund, self.model
        for event in self.world.events[self.steps_checked:]:
            if isinstance(event, CompensationInstructed | SubsidyInstructed) and event.item:
                self.open[event.disbursement_id] = (event.item.number, event.amount)
        self.steps_checked = len(self.world.events)
        assert (fund.state == "paused") == model.paused
        assert [(queued.item.number, queued.remaining_fen, queued.returned) for queued in fund.queue] == [
            tuple(entry) for entry in model.queue
        ]
        assert (fund.cash_fen, fund.instructed_fen, fund.unallocated_fen) == (
            model.cash, model.instructed, model.unallocated
        )
        assert fund.available_fen == model.available
        assert fund.gross_fen == model.gross
        assert fund.counter_fen == max(0, model.counter(model.base))
        assert fund.written_off_fen == sum(model.off.values())

    @invariant()
    def no_money_appears_or_disappears(self) -> None:
        fund = self.world.fund
        assert fund.cash_fen == self.model.came_in - self.model.went_out
        assert fund.instructed_fen == sum(amount for _, amount in self.open.values())
        assert fund.available_fen >= 0 and fund.cash_fen >= 0 and fund.instructed_fen >= 0

    @invariant()
    def the_counter_stays_within_the_line(self) -> None:
        if self.crossing != "in_full":
            assert all(event.fund.counter <= LINE for event in self.world.last if isinstance(event, PoolEvent))

    @invariant()
    def compensations_are_paid_in_the_order_of_their_release(self) -> None:
        for event in self.world.last:
            if isinstance(event, CompensationInstructed):
                earlier = self.order[: self.order.index(event.loan_no)]
                waiting = {queued.item.number for queued in self.world.fund.queue if not queued.returned}
                assert event.remaining or not waiting & set(earlier)

    @invariant()
    def every_wait_was_announced(self) -> None:
        for queued in self.world.fund.queue:
            assert queued.held_fen == queued.remaining_fen
            assert (queued.reason == "returned") == queued.returned

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert self.world.differences() == ()


def run(crossing: str, measure: str, stories: int) -> None:
    chosen = type("Chosen", (PoolMachine,), {"crossing": crossing, "measure": measure})
    limits = settings(
        max_examples=stories, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(chosen, settings=limits)


@pytest.mark.parametrize("crossing", ["to_line", "in_full", "hold"])
@pytest.mark.parametrize("measure", ["cycle", "net", "gross"])
def test_no_story_breaks_the_pool(crossing: str, measure: str) -> None:
    run(crossing, measure, 40 if (crossing, measure) == ("to_line", "cycle") else 10)
