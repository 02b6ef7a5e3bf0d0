"""What a simulated bank reports follows from its seed and its view, and is well-formed whatever is drawn."""

import json
from datetime import date
from typing import Any

import pytest

from riskpool.partners.bank import Bank, Report, View
from shared.contracts.registry import PARTNER_EVENTS
from shared.money import parse_yuan

DAY = date(2026, 3, 2)
CASE = {"uscc": "91110119MA01ABC17J", "need": "3000000.00", "product": "bank", "pushed_to": ["bank-a"], "failures": 0}
LOAN = {"loan_no": "A-1", "lender": "bank-a", "status": "covered", "outstanding": "500000.00"}
RECOVERY = {"loan_no": "A-2", "status": "open", "paid": "100000.00", "collected": "0.00"}
VIEW = View((CASE,), (LOAN,), (RECOVERY,))


def reports(seed: int, view: View = VIEW, months: int = 12) -> list[Report]:
    bank = Bank("bank-a", seed)
    return [report for _ in range(months) for report in bank.month(view, DAY)]


def told(found: list[Report]) -> list[tuple[str, dict[str, Any]]]:
    return [(one.name, one.fields) for one in found]


def test_the_same_seed_reports_the_same_and_another_something_else() -> None:
    assert told(reports(7)) == told(reports(7))
    assert told(reports(7)) != told(reports(8))


@pytest.mark.parametrize("seed", range(40))
def test_every_report_is_an_event_of_the_contract_that_a_bank_may_send(seed: int) -> None:
    for one in reports(seed):
        event = PARTNER_EVENTS[one.name].model_validate_json(json.dumps(one.fields))
        assert "bank" in event.senders and one.about in ("A-1", "A-2", CASE["uscc"], f"bank-a-{CASE['uscc']}")


def test_every_event_of_a_bank_is_drawn_sooner_or_later() -> None:
    names = {one.name for seed in range(20) for one in reports(seed)}
    assert names == {name for name, event in PARTNER_EVENTS.items() if "bank" in event.senders}


def test_a_round_is_declined_once_and_the_next_is_answered_anew() -> None:
    banks = [Bank("bank-a", seed) for seed in range(100)]
    pushed = View((CASE,), (), ())
    [bank, *_] = [one for one in banks if [each.name for each in one.month(pushed, DAY)] == ["FinancingDeclined"]]
    assert [*bank.month(pushed, DAY)] == []
    assert [*bank.month(View(({**CASE, "failures": 1},), (), ()), DAY)]


def test_a_slip_is_followed_by_the_fact_as_it_is() -> None:
    for seed in range(60):
        found = [one for one in reports(seed, View((), (LOAN,), ()), 1) if one.name == "LoanRepaid"]
        if len(found) == 2:
            wrong, right = (parse_yuan(one.fields["principal"]) for one in found)
            assert wrong > parse_yuan(LOAN["outstanding"]) >= right > 0
            return
    raise AssertionError("no slip in sixty seeds")


def test_a_guaranteed_loan_names_the_guarantor_it_was_pushed_with() -> None:
    case = {**CASE, "product": "guarantee", "pushed_to": ["bank-a", "guarantor-a"]}
    lent = [one for seed in range(10) for one in reports(seed, View((case,), (), ()), 1) if one.name == "LoanDisbursed"]
    assert {one.fields["guarantor"] for one in lent} == {"guarantor-a"}


def test_other_lenders_loans_and_closed_recoveries_are_left_alone() -> None:
    closed, guaranteed = {**RECOVERY, "status": "closed"}, {**LOAN, "lender": "bank-b"}
    assert reports(1, View((), (guaranteed,), (closed,)), 60) == []
