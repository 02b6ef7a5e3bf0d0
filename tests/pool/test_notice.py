"""From consent to payment: approvals, payout notices, the queue, shares of a guaranteed loan."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.pool.domain.disbursement import shares_of
from services.pool.domain.queue import QueueItem
from shared.contracts.pool import PayoutItem
from tests.pool.world import World, accepted, fen, is_duplicate, item, million, refused


def test_given_a_consent_nothing_is_paid_before_the_notice() -> None:
    world = World()
    decision = world.approve(item("A", fen("100.00")))
    assert [type(event).__name__ for event in decision.events] == ["ApprovalRecorded"]
    assert world.fund.queue == ()
    world.notice(reason=None)
    assert world.happened == ["PayoutNoticeIssued", "CompensationInstructed"]
    [paid] = world.of("CompensationInstructed")
    assert (paid.disbursement_id, paid.payee, paid.amount, paid.remaining) == ("D000001", "bank-a", fen("100.00"), 0)


def test_a_notice_releases_all_consents_in_order_of_their_dates_and_items() -> None:
    world = World()
    world.approve(item("C", 1), item("B", 1), half="2026H2", on=date(2026, 2, 2))
    world.approve(item("A", 1), half="2026H1", on=date(2026, 2, 1))
    world.notice()
    assert [event.loan_no for event in world.of("CompensationInstructed")] == ["A", "C", "B"]


def test_a_second_notice_of_a_year_needs_a_reason_that_is_not_blank() -> None:
    world = World()
    world.claim("A", "1.00")
    world.approve(item("B", fen("1.00")), half="2026H2")
    assert refused(world.notice(reason=None)) == ("pool.notice", "year")
    assert refused(world.notice(reason=" \n")) == ("pool.notice", "year")
    accepted(world.notice(reason="企业急需"))
    assert [event.loan_no for event in world.of("CompensationInstructed")] == ["B"]


def test_the_next_calendar_year_has_its_own_notice() -> None:
    world = World()
    world.claim("A", "1.00")
    world.approve(item("B", fen("1.00")), half="2026H2")
    world.today = date(2027, 1, 1)
    accepted(world.notice(reason=None))


def test_a_notice_with_nothing_to_release_is_refused() -> None:
    world = World()
    assert refused(world.notice(reason=None)) == ("pool.notice", "nothing")


def test_a_notice_number_is_used_once() -> None:
    world = World()
    world.approve(item("A", 1))
    accepted(world.notice(notice_no="1号"))
    world.approve(item("B", 1), half="2026H2")
    assert refused(world.notice(notice_no="1号")) == ("pool.notice", "number")


def test_a_loan_is_compensated_once_whatever_review_announces() -> None:
    world = World()
    world.claim("A", "1.00")
    assert is_duplicate(world.approve(item("A", fen("1.00")), half="2026H2"))
    world.approve(item("B", 1), item("A", 1), item("B", 2), half="2027H1")
    [recorded] = world.of("ApprovalRecorded")
    assert ([one.loan_no for one in recorded.items], recorded.skipped) == (["B"], ("A", "B"))


def test_the_balance_is_paid_and_the_rest_held_until_money_comes() -> None:
    world = World(capital=False)
    world.inject("policy_fund", "10.00")
    world.claim("A", "12.00")
    world.claim("B", "1.00")
    assert world.held == [("A", fen("2.00"), "short_of_funds"), ("B", fen("1.00"), "short_of_funds")]
    assert world.balance == "0.00"
    world.inject("policy_fund", "2.50")
    assert [(e.loan_no, e.amount) for e in world.of("CompensationInstructed")] == [
        ("A", fen("2.00")), ("B", fen("0.50"))
    ]
    assert [(e.loan_no, e.amount) for e in world.of("CompensationHeld")] == [("B", fen("0.50"))]


def test_a_pause_stops_compensation_only() -> None:
    world = World()
    world.claim("A", million("22"))
    assert world.fund.state == "paused"
    world.subsidy("P", "30000.00")
    assert world.happened == ["SubsidyReleased", "SubsidyInstructed"]
    assert world.held == [("A", million("1"), "line")]


def test_a_compensation_of_zero_is_released_without_a_payment() -> None:
    world = World()
    world.claim("A", 0)
    assert world.happened == ["PayoutNoticeIssued"]


def test_every_event_says_why_and_carries_the_fund_after_it() -> None:
    world = World()
    world.claim("A", million("22"))
    assert all(event.why is not None and event.why.clause for event in world.events)
    assert [event.fund.version for event in world.events] == list(range(1, len(world.events) + 1))
    [paid] = world.of("CompensationInstructed")
    assert paid.why.rule == "pool.crossing"
    assert (paid.fund.balance, paid.fund.counter, paid.fund.held_total) == (million("9"), million("21"), million("1"))


def test_a_guaranteed_loan_shows_who_ends_up_with_how_much() -> None:
    world = World()
    world.claim("A", "100.01", payee="guarantor-a", guarantor="guarantor-a", guarantor_share=Decimal("0.80"))
    [paid] = world.of("CompensationInstructed")
    assert paid.shares == {"guarantor-a": 8001, "bank-a": 2000}


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=6), st.decimals("0", "1", places=4))
def test_shares_of_parts_add_up_to_the_shares_of_the_whole(parts: list[int], share: Decimal) -> None:
    whole = PayoutItem(
        kind="compensation", payee="g", approved=sum(parts), loan_no="A", lender="l", guarantor="g",
        guarantor_share=share,
    )
    left, totals = sum(parts), {"g": 0, "l": 0}
    for part in parts:
        shares = shares_of(QueueItem(item=whole, remaining_fen=left), part)
        assert sum(shares.values()) == part and min(shares.values()) >= 0
        totals = {name: totals[name] + shares[name] for name in totals}
        left -= part
    assert totals == shares_of(QueueItem(item=whole, remaining_fen=sum(parts)), sum(parts))
