"""Stop-loss in numbers: the five cases of scheme.md section 8, and the other readings of crossing and measure."""

from shared.contracts.pool import PoolPaused
from tests.pool.world import DEFAULT, World, million

KEEP = ["CompensationInstructed", "CompensationHeld", "PoolPaused", "PoolResumed"]


def yuan(amount: str) -> int:
    return million(amount)


def paid(world: World) -> list[int]:
    return [event.amount for event in world.of("CompensationInstructed")]


def waiting(world: World) -> list[tuple[str, int]]:
    return [(number, amount) for number, amount, _ in world.held]


def test_t1_pays_to_the_line_pauses_resumes_at_fifteen_and_pauses_again() -> None:
    world = World()
    world.claim("A", yuan("20.6"))
    assert paid(world) == [yuan("20.6")]
    world.claim("B", yuan("1.0"))
    assert paid(world) == [yuan("0.4")]
    assert [name for name in world.happened if name in KEEP] == [
        "CompensationInstructed", "CompensationHeld", "PoolPaused"
    ]
    assert (world.fund.state, world.fund.available_fen, world.held) == (
        "paused", yuan("9.00"), [("B", yuan("0.6"), "line")]
    )
    world.recover("A", yuan("5.99"))
    assert (world.fund.state, world.fund.available_fen, paid(world)) == ("paused", yuan("14.99"), [])
    world.recover("A", yuan("0.01"))
    [resumed] = world.of("PoolResumed")
    assert (resumed.balance, resumed.line, resumed.counter) == (yuan("15.00"), yuan("15.00"), yuan("15.00"))
    assert paid(world) == [yuan("0.6")]
    assert (world.fund.state, world.fund.queue) == ("active", ())
    world.claim("C", yuan("5.4"))
    assert paid(world) == [yuan("5.4")]
    assert world.fund.state == "paused"
    world.claim("D", yuan("1"))
    assert paid(world) == []
    assert world.held == [("D", yuan("1"), "paused")]


def test_t2_the_counter_counts_gross_not_net() -> None:
    world = World()
    world.claim("A", yuan("18"))
    world.recover("A", yuan("4"))
    world.claim("B", yuan("3"))
    assert paid(world) == [yuan("3")]
    assert (world.fund.state, world.fund.counter_fen, world.fund.available_fen) == ("paused", yuan("21"), yuan("13"))
    world.claim("C", yuan("1"))
    assert (paid(world), waiting(world)) == ([], [("C", yuan("1"))])


def test_t3_pause_and_resume_in_one_step_are_two_events() -> None:
    world = World()
    world.claim("A", yuan("18"))
    world.recover("A", yuan("8"))
    world.claim("B", yuan("3"))
    assert [name for name in world.happened if name in KEEP] == ["CompensationInstructed", "PoolPaused", "PoolResumed"]
    assert (world.fund.state, world.fund.counter_fen, world.fund.available_fen) == ("active", yuan("13"), yuan("17"))
    world.claim("C", yuan("1"))
    assert paid(world) == [yuan("1")]


def test_t4_a_subsidy_lowers_the_pool_but_does_not_count_to_the_line() -> None:
    world = World()
    world.subsidy("P", yuan("1"))
    assert world.fund.counter_fen == 0
    world.claim("A", yuan("21"))
    assert (paid(world), world.fund.state, world.fund.available_fen) == ([yuan("21")], "paused", yuan("8"))
    world.recover("A", yuan("6.99"))
    assert (world.fund.state, world.fund.available_fen) == ("paused", yuan("14.99"))
    world.recover("A", yuan("0.01"))
    assert (world.fund.state, world.fund.available_fen, world.fund.counter_fen) == ("active", yuan("15"), yuan("14"))
    world.claim("B", yuan("7"))
    assert (paid(world), world.fund.state) == ([yuan("7")], "paused")


def test_t5_the_rest_is_held_first_in_the_queue() -> None:
    world = World()
    world.claim("A", yuan("20.5"))
    world.claim("B", yuan("3"))
    assert (paid(world), world.fund.state) == ([yuan("0.5")], "paused")
    world.claim("C", yuan("0.3"))
    assert world.held == [("B", yuan("2.5"), "line"), ("C", yuan("0.3"), "paused")]
    assert world.fund.available_fen == yuan("9.0")


def test_in_full_the_crossing_payout_is_paid_whole_and_then_the_pool_pauses() -> None:
    world = World(DEFAULT.model_copy(update={"crossing": "in_full"}))
    world.claim("A", yuan("20.5"))
    world.claim("B", yuan("3"))
    assert (paid(world), world.fund.state, world.fund.counter_fen) == ([yuan("3")], "paused", yuan("23.5"))
    world.claim("C", yuan("0.3"))
    assert world.held == [("C", yuan("0.3"), "paused")]


def test_hold_the_crossing_payout_is_held_whole_and_the_pool_pauses_below_the_line() -> None:
    world = World(DEFAULT.model_copy(update={"crossing": "hold"}))
    world.claim("A", yuan("20.5"))
    world.claim("B", yuan("3"))
    assert (paid(world), world.fund.state, world.fund.counter_fen) == ([], "paused", yuan("20.5"))
    world.claim("C", yuan("0.3"))
    assert world.held == [("B", yuan("3"), "line"), ("C", yuan("0.3"), "paused")]


def test_hold_resumes_only_when_the_first_held_payout_fits_so_that_it_does_not_pause_at_once() -> None:
    world = World(DEFAULT.model_copy(update={"crossing": "hold"}))
    world.claim("A", yuan("14"))
    world.claim("B", yuan("8"))
    assert (world.fund.state, world.fund.available_fen) == ("paused", yuan("16"))
    world.recover("A", yuan("0.99"))
    assert world.fund.state == "paused"
    world.recover("A", yuan("0.01"))
    assert (world.of("PoolResumed")[0].counter, paid(world)) == (yuan("13"), [yuan("8")])


def test_measured_net_a_recovery_makes_room_at_once() -> None:
    world = World(DEFAULT.model_copy(update={"measure": "net"}))
    world.claim("A", yuan("18"))
    world.recover("A", yuan("4"))
    assert world.fund.counter_fen == yuan("14")
    world.claim("B", yuan("3"))
    assert (paid(world), world.fund.state, world.fund.counter_fen) == ([yuan("3")], "active", yuan("17"))


def test_measured_gross_the_pool_never_resumes_once_the_line_is_reached() -> None:
    world = World(DEFAULT.model_copy(update={"measure": "gross"}))
    world.claim("A", yuan("21"))
    world.recover("A", yuan("21"))
    assert (world.fund.state, world.fund.available_fen, world.fund.counter_fen) == ("paused", yuan("30"), yuan("21"))


def test_exactly_at_the_line_pauses_and_a_fen_below_does_not() -> None:
    world = World()
    world.claim("A", yuan("21") - 1)
    assert world.happened[-1] == "CompensationInstructed"
    world.claim("B", 1)
    assert world.happened[-1] == "PoolPaused"
    [paused] = [event for event in world.events if isinstance(event, PoolPaused)]
    assert (paused.counter, paused.line) == (yuan("21"), yuan("21"))
    assert paused.why is not None and (paused.why.rule, paused.why.clause) == ("pool.pause", "三(八)")


def test_income_and_a_missing_half_of_the_capital_do_not_move_the_lines() -> None:
    world = World(capital=False)
    world.inject("policy_fund", yuan("15"))
    world.income(yuan("2"))
    assert (world.figures.capital, world.figures.pause_line, world.figures.resume_line) == (
        yuan("15"), yuan("21"), yuan("15")
    )


def test_the_same_wait_is_announced_once_and_a_new_reason_is_announced_again() -> None:
    world = World()
    world.claim("A", yuan("21"))
    world.claim("B", yuan("1"))
    assert [(event.amount, event.reason) for event in world.of("CompensationHeld")] == [(yuan("1"), "paused")]
    world.recover("A", yuan("1"))
    assert world.of("CompensationHeld") == []
