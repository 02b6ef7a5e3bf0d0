"""The management fee: two approvals at one rate, of a year that is over, a share of its realised income."""

from datetime import date

from tests.pool.world import World, accepted, fen, refused


def world_with_income(amount: str) -> World:
    world = World()
    world.income(amount)
    world.today = date(2027, 1, 10)
    return world


def test_the_second_approval_pays_the_custodian_its_share() -> None:
    world = world_with_income("400000.03")
    accepted(world.fee("drc", 2026, "0.18"))
    assert world.happened == ["FeeApproval"]
    accepted(world.fee("finance", 2026, "0.180"))
    assert world.happened == ["FeeApproval", "FeeReleased", "FeeInstructed"]
    [paid] = world.of("FeeInstructed")
    assert (paid.amount, paid.payee, world.fund.fees_fen) == (fen("72000.01"), "custodian", fen("72000.01"))
    assert world.settle("D000001").events[0].about == "D000001"
    assert world.differences() == ()


def test_the_rate_lies_within_the_schemes_range() -> None:
    world = world_with_income("400000.00")
    assert refused(world.fee("drc", 2026, "0.21")) == ("pool.fee", "rate")
    assert refused(world.fee("drc", 2026, "0.1499")) == ("pool.fee", "rate")
    accepted(world.fee("drc", 2026, "0.15"))


def test_a_unit_approves_once_and_both_at_one_rate() -> None:
    world = world_with_income("400000.00")
    world.fee("drc", 2026, "0.18")
    assert refused(world.fee("drc", 2026, "0.18")) == ("pool.fee", "approved")
    assert refused(world.fee("finance", 2026, "0.17")) == ("pool.fee", "differs")


def test_a_year_has_one_fee_and_must_be_over() -> None:
    world = world_with_income("400000.00")
    assert refused(world.fee("drc", 2027, "0.18")) == ("pool.fee", "year")
    world.fee("drc", 2026, "0.18")
    world.fee("finance", 2026, "0.18")
    assert refused(world.fee("finance", 2026, "0.18")) == ("pool.fee", "once")


def test_a_year_without_income_or_with_a_loss_has_a_fee_of_zero_and_no_payment() -> None:
    for amount in ("-1.00", "0.00"):
        world = world_with_income(amount)
        world.fee("drc", 2026, "0.20")
        world.fee("finance", 2026, "0.20")
        assert world.happened == ["FeeApproval", "FeeReleased"]
        assert (world.of("FeeReleased")[0].amount, world.fund.queue) == (0, ())


def test_a_pause_does_not_stop_the_fee_and_a_returned_one_waits() -> None:
    world = world_with_income("400000.00")
    world.claim("A", 2_100_000_000)
    assert world.fund.state == "paused"
    world.fee("drc", 2026, "0.20")
    world.fee("finance", 2026, "0.20")
    [paid] = world.of("FeeInstructed")
    world.give_back(paid.disbursement_id)
    assert (world.held, world.fund.fees_fen) == ([("2026", fen("80000.00"), "returned")], 0)
