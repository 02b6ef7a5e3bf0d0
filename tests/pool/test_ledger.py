"""The ledger: balanced postings, balances from entries alone, and an audit that finds what was changed."""

from datetime import date

import pytest

from services.pool.audit import audit
from services.pool.ledger import balances, effective_on, entries_of
from shared.contracts.pool import Entry
from tests.pool.world import World, fen


def story() -> World:
    world = World()
    world.claim("A", "100.00")
    world.settle("D000001", on=date(2026, 3, 2))
    world.recover("A", "130.00")
    world.receive("other", None, "7.00")
    world.subsidy("P", "9.00")
    world.give_back("D000002")
    world.income("-3.00")
    world.claim("B", "20.00")
    world.write_off("B", "5.00")
    world.receive("clawback", "B", "18.00")
    return world


def test_every_posting_sums_to_zero_and_no_line_is_empty() -> None:
    for event in story().events:
        assert sum(entry.amount for entry in event.entries) == 0
        assert all(entry.amount for entry in event.entries)


def test_balances_derive_from_entries_alone() -> None:
    found = balances(story().events)
    assert found["cash"] == fen("30000052.00")
    assert (found["compensation"], found["recovered"], found["clawed_back"]) == (
        fen("120.00"), fen("-100.00"), fen("-18.00")
    )
    assert (found["unallocated"], found["other_funds"]) == (fen("-30.00"), fen("-7.00"))
    assert found["income:2026"] == fen("3.00")
    assert (found["written_off"], found["write_off_loss"]) == (fen("-2.00"), fen("2.00"))
    assert (found["instructed"], found["subsidy"]) == (fen("-29.00"), fen("9.00"))
    assert sum(found.values()) == 0


def test_entries_count_from_the_custodians_dates() -> None:
    world = World()
    world.claim("A", "100.00")
    world.today = date(2026, 3, 9)
    world.settle("D000001", on=date(2026, 3, 5))
    assert effective_on(world.last[0]) == date(2026, 3, 5)
    world.receive("other", None, "1.00", on=date(2026, 3, 6))
    assert effective_on(world.last[0]) == date(2026, 3, 6)


def test_the_audit_of_an_honest_story_finds_nothing() -> None:
    world = story()
    assert world.differences() == ()
    assert audit((), None, {}) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"cash_fen": 1}, "stored cash_fen"), ({"queue": ()}, "stored queue"), ({"counter_fen": 5}, "stored counter_fen")],
)
def test_the_audit_finds_a_changed_fund(change: dict[str, object], said: str) -> None:
    world = story()
    world.give_back("D000003")
    found = audit(world.events, world.fund.model_copy(update=change))
    assert [line for line in found if line.startswith(said)]


def test_the_audit_finds_a_missing_ledger_row_and_a_changed_event() -> None:
    world = story()
    rows = {**balances(world.events), "cash": 1}
    assert audit(world.events, world.fund, rows) == ("ledger rows cash: 0.01, expected 30000052.00",)
    changed = world.events[0].model_copy(update={"entries": (Entry(account="cash", amount=1),)})
    found = audit([changed, *world.events[1:]], world.fund)
    assert any("entries sum to 0.01" in line for line in found)
    assert any("entries are not those of this event" in line for line in found)
    lost = audit(world.events[:-1], world.fund)
    assert any(line.startswith("stored clawed_fen") for line in lost)


def test_only_money_makes_entries() -> None:
    world = World()
    world.claim("A", 2_200_000_000)
    silent = {type(event).__name__ for event in world.events if not entries_of(event)}
    assert silent == {"ApprovalRecorded", "PayoutNoticeIssued", "CompensationHeld", "PoolPaused"}
