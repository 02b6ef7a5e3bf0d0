"""Money that comes in: capital, recoveries, clawbacks, other funds, income and losses, each bank reference once."""

from datetime import timedelta

from tests.pool.world import World, accepted, fen, is_duplicate, million, refused


def test_capital_comes_from_a_listed_source_within_its_approved_amount_and_a_reference_once() -> None:
    world = World(capital=False)
    assert refused(world.inject("lottery", "1.00")) == ("pool.capital", "source")
    accepted(world.inject("policy_fund", million("10"), "CAP-1"))
    assert refused(world.inject("policy_fund", million("10"), "CAP-1")) == ("pool.capital", "bank_ref")
    assert refused(world.inject("policy_fund", million("5") + 1)) == ("pool.capital", "amount")
    accepted(world.inject("policy_fund", million("5")))
    assert world.figures.capital == million("15")


def test_a_recovery_lowers_what_is_recoverable_and_the_rest_waits_unallocated() -> None:
    world = World()
    world.claim("A", "100.00")
    decision = accepted(world.recover("A", "100.01"))
    [booked] = world.of("FundsBooked")
    assert (booked.applied, booked.amount, booked.uscc) == (fen("100.00"), fen("100.01"), "U-A")
    assert (world.fund.unallocated_fen, world.fund.recoverable_fen, world.balance) == (1, 0, "30000000.00")
    assert decision.result["unallocated"] == "0.01" and "0.01" in str(decision.result["note"])


def test_money_for_an_unknown_loan_is_in_the_account_but_not_available() -> None:
    world = World()
    world.recover("nobody's", "5.00")
    assert (world.fund.cash_fen - world.fund.available_fen, world.fund.recovered_fen) == (fen("5.00"), 0)


def test_other_money_is_available_whole() -> None:
    world = World()
    decision = accepted(world.receive("other", None, "5.00"))
    assert (world.balance, decision.result) == ("30000005.00", {})


def test_a_clawback_counts_as_come_back_at_the_next_restart() -> None:
    world = World()
    world.claim("A", million("21"))
    world.receive("clawback", "A", million("6"))
    assert world.of("PoolResumed")[0].counter == million("15")
    assert (world.fund.clawed_fen, world.fund.recovered_fen) == (million("6"), 0)


def test_a_bank_reference_reported_again_is_a_duplicate_and_with_other_content_refused() -> None:
    world = World()
    world.claim("A", "100.00")
    accepted(world.receive("recovery", "A", "1.00", "R-1"))
    assert is_duplicate(world.receive("recovery", "A", "1.00", "R-1"))
    assert refused(world.receive("recovery", "A", "1.01", "R-1")) == ("pool.custodian", "bank_ref")
    assert refused(world.receive("clawback", "A", "1.00", "R-1")) == ("pool.custodian", "bank_ref")
    assert refused(world.income("1.00", bank_ref="R-1")) == ("pool.custodian", "bank_ref")
    assert refused(world.inject("policy_fund", "1.00", "R-1")) == ("pool.capital", "bank_ref")


def test_money_is_not_received_tomorrow() -> None:
    world = World()
    tomorrow = world.today + timedelta(days=1)
    assert refused(world.receive("other", None, "1.00", on=tomorrow)) == ("pool.custodian", "future")


def test_income_enters_by_itself_and_a_loss_is_flagged() -> None:
    world = World()
    world.income("400000.00")
    world.income("-100000.00", "2026H2")
    [booked] = world.of("IncomeBooked")
    assert booked.loss
    assert (world.fund.income_of(2026).amount_fen, world.balance) == (fen("300000.00"), "30300000.00")
    accepted(world.income("5.00", bank_ref="I-9"))
    assert is_duplicate(world.income("5.00", bank_ref="I-9"))


def test_income_of_a_year_to_come_was_not_realised() -> None:
    assert refused(World().income("1.00", "2027")) == ("pool.income", "future")


def test_a_loss_beyond_the_balance_is_booked_whole_and_nothing_is_paid_until_it_is_made_good() -> None:
    world = World(capital=False)
    world.inject("policy_fund", "100.00")
    world.claim("A", "60.00")
    world.income("-55.00")
    assert (world.fund.cash_fen, world.fund.available_fen, world.fund.shortfall_fen) == (fen("45.00"), 0, fen("15.00"))
    world.claim("B", "10.00")
    assert world.held == [("B", fen("10.00"), "short_of_funds")]
    world.recover("A", "15.00")
    assert (world.of("CompensationInstructed"), world.fund.shortfall_fen) == ([], 0)
    world.recover("A", "4.00")
    assert [event.amount for event in world.of("CompensationInstructed")] == [fen("4.00")]


def test_a_transfer_that_the_cash_no_longer_covers_cannot_be_settled() -> None:
    world = World(capital=False)
    world.inject("policy_fund", "100.00")
    world.claim("A", "60.00")
    world.income("-55.00")
    assert refused(world.settle("D000001")) == ("pool.custodian", "overdrawn")
    accepted(world.give_back("D000001"))
    assert (world.balance, world.fund.shortfall_fen) == ("45.00", 0)


def test_a_loss_above_all_cash_cannot_be() -> None:
    assert refused(World().income(-million("30") - 1)) == ("pool.income", "cash")


def test_a_write_off_moves_no_cash_and_leaves_the_counter() -> None:
    world = World()
    world.claim("A", "100.00")
    world.recover("A", "60.00")
    world.write_off("A", "40.00")
    assert world.happened == ["WriteOffBooked"]
    fund = world.fund
    assert (fund.recoverable_fen, fund.counter_fen, fund.written_off_fen) == (0, fen("100.00"), fen("40.00"))


def test_a_recovery_after_the_write_off_takes_it_back_by_as_much_and_no_other_loan_is_touched() -> None:
    world = World()
    world.claim("A", "100.00")
    world.claim("B", "50.00")
    world.write_off("A", "100.00")
    world.recover("A", "30.00")
    [booked] = world.of("FundsBooked")
    assert (booked.applied, booked.reinstated) == (fen("30.00"), fen("30.00"))
    assert (world.fund.written_off_fen, world.fund.recoverable_fen) == (fen("70.00"), fen("50.00"))


def test_no_more_is_written_off_than_is_still_recoverable_of_the_loan() -> None:
    world = World()
    world.claim("A", "100.00")
    world.recover("A", "60.00")
    world.write_off("A", "50.00")
    assert world.of("WriteOffBooked")[0].amount == fen("40.00")
    assert is_duplicate(world.write_off("A", "50.00"))
    assert refused(world.write_off("nobody's", "1.00")) == ("unknown", "loan")
