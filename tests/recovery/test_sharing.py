"""Shares by the paid ratio, remittance, overdue shares and clawbacks."""

from datetime import date

from services.recovery.domain.recovery import Recovery
from services.recovery.domain.sharing import decide_clawback, decide_overdue, needs_recovery
from shared.contracts.pool import FundsBooked
from shared.contracts.recovery import ClawbackDemanded, RecoveryShared, RemittanceOverdue
from shared.contracts.review import InstitutionSanctioned
from shared.decisions import Accepted
from shared.money import parse_yuan
from tests.recovery.stories import (
    LOAN,
    OPENED,
    POLICY,
    TODAY,
    accepted,
    book,
    collect,
    credit,
    names,
    opened,
    refused,
    settled,
    then,
)


def share(recovery: Recovery, amount: str, **facts: object) -> tuple[Recovery, RecoveryShared]:
    decision = collect(recovery, amount, **facts)  # type: ignore[arg-type]
    (event,) = accepted(decision)
    assert isinstance(event, RecoveryShared)
    assert event.pool_share + event.institution_share == event.amount == parse_yuan(amount)
    return then(recovery, decision), event


def test_recovery_opens_with_the_first_settled_compensation_and_not_again() -> None:
    decision = credit(None, settled("1250000.00"))
    assert names(decision) == ["RecoveryOpened", "CompensationCredited"]
    recovery = then(None, decision)
    assert (recovery.paid_fen, recovery.verified_fen, recovery.opened_on) == (125_000_000, 249_999_999, OPENED)
    again = credit(recovery, settled("1250000.00"))
    assert isinstance(again, Accepted) and again.duplicate and not again.events
    assert names(credit(recovery, settled("1.00", "D-2"))) == ["CompensationCredited"]


def test_shares_follow_the_sum_of_recoveries_so_that_rounding_never_drifts() -> None:
    recovery, first = share(opened(), "1000000.00", on=date(2026, 8, 31))
    recovery, second = share(recovery, "333333.33", on=date(2026, 9, 1))
    assert recovery.pool_share_fen == parse_yuan("666666.67")
    assert recovery.collected_fen == parse_yuan("1333333.33")
    assert (first.due_on, second.due_on) == (date(2026, 9, 30), date(2026, 10, 1))


def test_three_thirds_of_a_fen_lose_nothing() -> None:
    recovery = opened("0.01", verified="0.03")
    recovery, *_ = share(recovery, "0.01")
    assert recovery.pool_share_fen == 0
    recovery, *_ = share(recovery, "0.01")
    recovery, *_ = share(recovery, "0.01")
    assert (recovery.pool_share_fen, recovery.institution_share_fen) == (1, 2)


def test_the_pools_share_ends_when_it_has_what_it_paid() -> None:
    recovery, _ = share(opened("500.00", verified="1000.00"), "900.00")
    recovery, last = share(recovery, "400.00")
    assert (recovery.pool_share_fen, last.pool_share) == (50_000, 5_000)
    recovery, beyond = share(recovery, "10.00")
    assert (beyond.pool_share, beyond.institution_share) == (0, 1_000)


def test_what_was_clawed_back_is_not_shared_again() -> None:
    recovery = opened("500.00", verified="1000.00")
    recovery = then(recovery, book(recovery, "400.00", "clawback"))
    recovery, _ = share(recovery, "900.00")
    assert recovery.pool_share_fen == 10_000


def test_while_part_is_held_the_ratio_is_by_what_is_paid_and_later_recoveries_use_the_new_one() -> None:
    recovery, _ = share(opened("250.00", verified="1000.00"), "100.00")
    assert recovery.pool_share_fen == 2_500
    recovery = then(recovery, credit(recovery, settled("250.00", "D-2", verified="1000.00")))
    recovery, later = share(recovery, "100.00")
    assert (later.pool_share, recovery.pool_share_fen) == (5_000, 7_500)


def test_costs_are_deducted_only_where_the_scheme_says_so() -> None:
    recovery = opened("500.00", verified="1000.00")
    _, gross = share(recovery, "100.00", costs="40.00")
    assert (gross.pool_share, gross.institution_share, gross.costs) == (5_000, 5_000, 4_000)
    net_of_costs = POLICY.model_copy(update={"deduct_costs": True})
    _, net = share(recovery, "100.00", costs="40.00", policy=net_of_costs)
    assert (net.pool_share, net.institution_share, net.base) == (3_000, 7_000, 6_000)
    _, eaten = share(recovery, "100.00", costs="400.00", policy=net_of_costs)
    assert (eaten.pool_share, eaten.institution_share) == (0, 10_000)


def test_only_an_institution_of_the_loan_reports_a_recovery_and_none_of_tomorrow() -> None:
    recovery = opened(lender="bank-b", guarantor="guarantor-a", payee="guarantor-a")
    for sender in ("bank-b", "guarantor-a"):
        assert names(collect(recovery, "1.00", sender=sender)) == ["RecoveryShared"]
    refused(collect(recovery, "1.00", sender="bank-a"), "permission", "recovery_party")
    refused(collect(None, "1.00"), "unknown", "loan")
    refused(collect(opened(), "1.00", date(2026, 9, 3)), "recovery.share", "future")


def test_money_counts_when_it_is_booked_and_all_back_closes_the_recovery_once() -> None:
    recovery, _ = share(opened("500.00", verified="1000.00"), "1000.00")
    recovery = then(recovery, book(recovery, "200.00"))
    assert (recovery.remitted_fen, recovery.status) == (20_000, "open")
    last = book(recovery, "300.00")
    assert names(last) == ["RecoveryRemitted", "RecoveryClosed"]
    recovery = then(recovery, last)
    assert (recovery.status, recovery.outstanding_fen, recovery.next_due_on) == ("closed", 0, None)
    assert names(book(recovery, "0.01")) == ["RecoveryRemitted"]


def test_a_later_payment_opens_a_closed_recovery_again() -> None:
    recovery = then(opened("100.00"), book(opened("100.00"), "100.00"))
    assert recovery.status == "closed"
    recovery = then(recovery, credit(recovery, settled("50.00", "D-2")))
    assert (recovery.status, recovery.outstanding_fen) == ("open", 5_000)
    assert names(book(recovery, "50.00")) == ["RecoveryRemitted", "RecoveryClosed"]


def test_money_that_no_compensation_takes_changes_nothing() -> None:
    assert names(book(opened(), "1.00", applied="0.00")) == []
    assert names(book(None, "1.00")) == []
    for purpose, applied, needed in (("other", 1, False), ("recovery", 0, False), ("clawback", 1, True)):
        assert needs_recovery(FundsBooked.model_construct(purpose=purpose, applied=applied)) is needed


def overdue(recovery: Recovery, day: date) -> list[tuple[int, int]]:
    events = accepted(decide_overdue([recovery], day, POLICY))
    return [(event.share_no, event.amount) for event in events if isinstance(event, RemittanceOverdue)]


def test_a_share_is_overdue_after_its_thirtieth_day_once() -> None:
    recovery, event = share(opened("500.00", verified="1000.00"), "100.00", on=date(2026, 8, 1))
    assert event.due_on == date(2026, 8, 31) == recovery.next_due_on
    assert overdue(recovery, date(2026, 8, 31)) == []
    assert overdue(recovery, date(2026, 9, 1)) == [(1, 5_000)]
    recovery = then(recovery, decide_overdue([recovery], date(2026, 9, 1), POLICY))
    assert overdue(recovery, date(2026, 9, 2)) == [] and recovery.next_due_on is None


def test_remittances_cover_the_oldest_share_first() -> None:
    recovery, _ = share(opened("500.00", verified="1000.00"), "100.00", on=date(2026, 8, 1))
    recovery, _ = share(recovery, "100.00", on=date(2026, 8, 2))
    recovery = then(recovery, book(recovery, "60.00"))
    assert overdue(recovery, date(2026, 9, 30)) == [(2, 4_000)]
    assert overdue(then(recovery, book(recovery, "40.00")), date(2026, 9, 30)) == []


def test_money_remitted_ahead_covers_the_next_share() -> None:
    recovery = then(opened("500.00", verified="1000.00"), book(opened("500.00", verified="1000.00"), "60.00"))
    recovery, _ = share(recovery, "100.00", on=date(2026, 8, 1))
    assert overdue(recovery, date(2026, 9, 30)) == [] and recovery.next_due_on is None
    recovery, _ = share(recovery, "100.00", on=date(2026, 8, 1))
    assert overdue(recovery, date(2026, 9, 30)) == [(2, 4_000)]


def test_nothing_is_overdue_when_the_compensation_was_clawed_back() -> None:
    recovery, _ = share(opened("500.00", verified="1000.00"), "100.00", on=date(2026, 8, 1))
    recovery = then(recovery, book(recovery, "480.00", "clawback"))
    assert overdue(recovery, date(2026, 9, 30)) == [(1, 2_000)]
    assert overdue(then(recovery, book(recovery, "20.00", "clawback")), date(2026, 9, 30)) == []


def sanction(recovery: Recovery, measure: str = "clawback", institution: str = "bank-a") -> Accepted:
    fact = InstitutionSanctioned.model_validate({
        "institution": institution, "measure": measure, "loan_nos": (LOAN,), "reason": "合谋骗贷",
        "sanctioned_on": TODAY,
    })
    return decide_clawback([recovery], fact, POLICY)


def test_a_clawback_demands_all_that_has_not_come_back_from_the_payee_only() -> None:
    recovery, _ = share(opened("500.00", verified="1000.00"), "100.00")
    recovery = then(recovery, book(recovery, "50.00"))
    decision = sanction(recovery)
    (event,) = accepted(decision)
    assert isinstance(event, ClawbackDemanded) and event.amount == 45_000
    assert names(sanction(recovery, institution="bank-b")) == names(sanction(recovery, "reduce")) == []
    demanded = then(recovery, decision)
    assert names(sanction(demanded)) == []
    more = then(demanded, credit(demanded, settled("10.00", "D-2")))
    (rest,) = accepted(sanction(more))
    assert isinstance(rest, ClawbackDemanded) and rest.amount == 1_000
    assert names(book(demanded, "450.00", "clawback")) == ["ClawbackReturned", "RecoveryClosed"]
