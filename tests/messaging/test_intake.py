"""What comes in, whatever it is: exactly one receipt, nothing lost, and the next message is taken."""

import asyncio
import json
from typing import Any

import pytest

from shared.messaging.envelope import new_id
from tests.messaging.conftest import Desk, envelope

LOAN = {
    "uscc": "U", "loan_no": "L", "product": "bank", "principal": "5000000.00", "annual_rate": "0.0385",
    "disbursed_on": "2026-01-05", "matures_on": "2027-01-05",
}  # fmt: skip


def nested(depth: int) -> Any:
    deep: Any = "end"
    for _ in range(depth):
        deep = [deep]
    return deep


async def test_a_good_event_is_accepted(desk: Desk) -> None:
    receipt = await desk.receipt(await desk.decline("GOOD", "fine"))
    assert receipt["outcome"] == "accepted" and receipt["at"] == "2026-01-05T09:00:00+08:00"
    assert await desk.reasons("GOOD") == ["fine"]


async def test_a_refusal_names_its_rule_and_says_what_to_do(desk: Desk) -> None:
    receipt = await desk.receipt(await desk.decline("REFUSED", "refuse"))
    assert (receipt["outcome"], receipt["rule"]) == ("refused", "loan.pushed") and receipt["detail"]
    assert await desk.reasons("REFUSED") == []


async def test_a_fact_already_known_is_a_duplicate(desk: Desk) -> None:
    receipt = await desk.receipt(await desk.decline("AGAIN", "again"))
    assert receipt["outcome"] == "duplicate" and "rule" not in receipt


async def test_the_same_event_sent_many_times_has_one_effect_and_one_receipt(desk: Desk) -> None:
    identifier = new_id()
    for _ in range(5):
        await desk.decline("RESENT", "fine", identifier)
    await desk.receipt(identifier)
    for _ in range(5):
        await desk.decline("RESENT", "fine", identifier)
    await desk.still_works()
    assert len(await desk.receipts(identifier)) == 1 and await desk.reasons("RESENT") == ["fine"]


async def test_one_id_of_two_institutions_is_two_events(desk: Desk) -> None:
    identifier = new_id()
    for bank in ("bank-a", "bank-b"):
        await desk.submit(envelope("FinancingDeclined", {"uscc": "TWO", "reason": bank}, identifier), by=bank)
    await desk.until(lambda: both(desk, identifier))
    assert sorted(await desk.reasons("TWO")) == ["bank-a", "bank-b"]


async def both(desk: Desk, identifier: str) -> bool:
    return len(await desk.receipts(identifier)) == 2


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_id_used_again_with_another_body_is_parked_without_a_second_receipt(desk: Desk, at_once: bool) -> None:
    identifier, uscc = new_id(), f"OTHER-{at_once}"
    await desk.decline(uscc, "first", identifier)
    if not at_once:
        await desk.receipt(identifier)
    await desk.decline(uscc, "second", identifier)
    (parked,) = await desk.until(lambda: desk.parked(identifier))
    assert "used before with another body" in parked["error"] and b"second" in parked["body"]
    await desk.still_works()
    assert [r["outcome"] for r in await desk.receipts(identifier)] == ["accepted"]
    assert await desk.reasons(uscc) == ["first"]


async def test_an_id_used_again_for_another_kind_of_event_is_parked_as_well(desk: Desk) -> None:
    identifier = new_id()
    await desk.submit(envelope("LoanRepaid", {}, identifier), name="LoanRepaid")
    await desk.receipt(identifier)
    await desk.submit(envelope("LoanDefaulted", {}, identifier), name="LoanDefaulted")
    await desk.until(lambda: two_parked(desk, identifier))
    assert len(await desk.receipts(identifier)) == 1


async def two_parked(desk: Desk, identifier: str) -> bool:
    return len(await desk.parked(identifier)) == 2


WRONG_DATA = {
    "three decimals": ("LoanDisbursed", {**LOAN, "principal": "1.000"}),
    "no decimals": ("LoanDisbursed", {**LOAN, "principal": "1"}),
    "negative": ("LoanDisbursed", {**LOAN, "principal": "-1.00"}),
    "nothing": ("LoanDisbursed", {**LOAN, "principal": "0.00"}),
    "minus nothing": ("LoanDisbursed", {**LOAN, "principal": "-0.00"}),
    "NaN as text": ("LoanDisbursed", {**LOAN, "principal": "NaN"}),
    "NaN as number": ("LoanDisbursed", {**LOAN, "principal": float("nan")}),
    "infinite": ("LoanDisbursed", {**LOAN, "principal": float("inf")}),
    "exponent": ("LoanDisbursed", {**LOAN, "principal": "1e3"}),
    "number": ("LoanDisbursed", {**LOAN, "principal": 5000000.00}),
    "whole number": ("LoanDisbursed", {**LOAN, "principal": 5000000}),
    "number beyond all reason": ("LoanDisbursed", {**LOAN, "principal": 10**4000}),
    "true": ("LoanDisbursed", {**LOAN, "principal": True}),
    "other digits": ("LoanDisbursed", {**LOAN, "principal": "٥.00"}),
    "blank around": ("LoanDisbursed", {**LOAN, "principal": " 1.00"}),
    "line end": ("LoanDisbursed", {**LOAN, "principal": "1.00\n"}),
    "too large": ("LoanDisbursed", {**LOAN, "principal": "99999999999999.00"}),
    "30 February": ("LoanDisbursed", {**LOAN, "disbursed_on": "2026-02-30"}),
    "date and time": ("LoanDisbursed", {**LOAN, "disbursed_on": "2026-01-05T00:00:00"}),
    "week date": ("LoanDisbursed", {**LOAN, "disbursed_on": "2026-W01-1"}),
    "matures before": ("LoanDisbursed", {**LOAN, "matures_on": "2025-01-05"}),
    "missing field": ("FinancingDeclined", {"uscc": "U"}),
    "data is a list": ("FinancingDeclined", ["U", "reason"]),
    "data is null": ("FinancingDeclined", None),
    "control character": ("FinancingDeclined", {"uscc": "U", "reason": "a\x07b"}),
    "NUL": ("FinancingDeclined", {"uscc": "U\x00", "reason": "fine"}),
    "NUL as a key": ("LoanDefaulted", {"evidence\x00": 1, "recovery_statements": [{"a\x00": {}}]}),
    "lone surrogate": ("FinancingDeclined", {"uscc": "U", "reason": "\ud800"}),
    "deep": ("FinancingDeclined", {"uscc": "U", "reason": nested(150)}),
    "very deep": ("FinancingDeclined", {"uscc": "U", "reason": nested(900)}),
    "thousands of faults": ("LoanDefaulted", {"evidence": [0] * 200_000}),
}


@pytest.mark.parametrize("wrong", WRONG_DATA)
async def test_data_that_breaks_the_contract_is_parked_and_answered_unreadable(desk: Desk, wrong: str) -> None:
    name, data = WRONG_DATA[wrong]
    identifier = new_id()
    body = envelope(name, data, identifier)
    await desk.submit(body, name=name)
    receipt = await desk.receipt(identifier)
    assert receipt["outcome"] == "unreadable" and len(receipt["detail"]) < 2500
    (parked,) = await desk.parked(identifier)
    assert parked["body"] == body and parked["error"]
    await desk.submit(body, name=name)
    await desk.still_works()
    assert len(await desk.receipts(identifier)) == 1
