"""Transfers as the custodian reports them: settled by a bank reference, or returned to the head of the queue."""

from datetime import timedelta

from tests.pool.world import World, accepted, fen, is_duplicate, million, refused


def test_a_settled_transfer_leaves_cash_and_balance_stays() -> None:
    world = World()
    world.claim("A", "100.00")
    before = world.fund.available_fen
    decision = accepted(world.settle("D000001", "B-1"))
    [settled] = world.of("CompensationSettled")
    assert [type(event).__name__ for event in decision.events] == ["CompensationSettled"]
    assert (settled.bank_ref, settled.amount, settled.verified_principal) == ("B-1", fen("100.00"), fen("200.00"))
    assert (world.fund.instructed_fen, world.fund.available_fen) == (0, before)
    assert world.fund.cash_fen == million("30") - fen("100.00")


def test_a_transfer_that_the_pool_never_instructed_is_unknown() -> None:
    assert refused(World().settle("D000009")) == ("unknown", "disbursement")
    assert refused(World().give_back("D000009")) == ("unknown", "disbursement")


def test_a_settlement_reported_again_is_a_duplicate_and_another_reference_is_refused() -> None:
    world = World()
    world.claim("A", "100.00")
    world.settle("D000001", "B-1")
    assert is_duplicate(world.settle("D000001", "B-1"))
    assert refused(world.settle("D000001", "B-2")) == ("pool.custodian", "settled")
    assert refused(world.give_back("D000001")) == ("pool.custodian", "settled")


def test_a_settlement_is_dated_neither_in_the_future_nor_before_the_instruction() -> None:
    world = World()
    world.claim("A", "100.00")
    assert refused(world.settle("D000001", on=world.today + timedelta(days=1))) == ("pool.custodian", "future")
    assert refused(world.settle("D000001", on=world.today - timedelta(days=1))) == ("pool.custodian", "early")


def test_a_returned_transfer_restores_balance_and_counter_and_waits_at_the_head_blocking_nobody() -> None:
    world = World()
    world.claim("A", million("1"))
    world.give_back("D000001")
    assert world.happened == ["DisbursementReturned", "CompensationHeld"]
    assert (world.fund.available_fen, world.fund.counter_fen, world.fund.gross_fen) == (million("30"), 0, 0)
    world.claim("B", million("2"))
    assert [(e.loan_no, e.disbursement_id) for e in world.of("CompensationInstructed")] == [
        ("A", "D000002"), ("B", "D000003")
    ]
    assert is_duplicate(world.give_back("D000001"))
    assert refused(world.give_back("D000001", "另一原因")) == ("pool.custodian", "returned")
    assert refused(world.settle("D000001")) == ("pool.custodian", "returned")


def test_a_returned_item_blocks_no_subsidy_and_is_freed_by_a_notice_with_nothing_else_to_release() -> None:
    world = World()
    world.claim("A", million("1"))
    world.give_back("D000001")
    world.subsidy("P", "10.00")
    assert world.held == [("A", million("1"), "returned")]
    accepted(world.notice(reason="账户已更正"))
    assert world.happened == ["PayoutNoticeIssued", "CompensationInstructed"]
    assert world.of("PayoutNoticeIssued")[0].returned == ("A",)


def test_what_still_waits_of_a_returned_compensation_waits_with_it() -> None:
    world = World()
    world.claim("A", million("20.6"))
    world.claim("B", million("1"))
    world.claim("C", million("0.1"))
    assert [number for number, _, _ in world.held] == ["B", "C"]
    world.give_back("D000002")
    assert world.held == [("B", million("1"), "returned"), ("C", million("0.1"), "paused")]
    loan = world.state("compensation", "B")
    assert (loan.approved_fen, loan.paid_fen, loan.held_fen) == (million("1"), 0, million("1"))


def test_a_return_that_restarts_the_pool_pays_the_held_queue_in_order() -> None:
    world = World()
    world.claim("A", million("10"))
    world.claim("B", million("11"))
    world.claim("C", million("1"))
    world.give_back("D000002")
    assert world.happened[:2] == ["DisbursementReturned", "PoolResumed"]
    assert [e.loan_no for e in world.of("CompensationInstructed")] == ["B"]
    assert world.happened[-1] == "PoolPaused"
    assert world.held == [("C", million("1"), "paused")]


def test_a_subsidy_and_a_fee_are_settled_and_returned_alike() -> None:
    world = World()
    world.subsidy("P", "30000.01")
    world.give_back("D000001")
    assert (world.fund.subsidies_fen, world.held) == (0, [("P", fen("30000.01"), "returned")])
    world.notice(reason="账户已更正")
    accepted(world.settle("D000002"))
    assert world.happened == ["SubsidySettled"]
    assert world.state("subsidy", "P").paid_fen == fen("30000.01")


def test_a_subsidy_is_paid_once_a_policy() -> None:
    world = World()
    world.subsidy("P", "30000.01")
    assert is_duplicate(world.subsidy("P", "30000.01"))
    assert world.fund.counter_fen == 0
