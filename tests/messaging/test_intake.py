"""What comes in, whatever it is: exactly one receipt, nothing lost, and the next message is taken."""

import asyncio
import json
from typing import Any

import nats.errors
import pytest

from shared.messaging.envelope import new_id
from tests.messaging.outside import Desk, envelope

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
    "thousands of faults": ("LoanDefaulted", {"evidence": [0] * 20_000}),
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


async def test_a_bug_parks_its_own_message_with_a_trace_and_no_other(desk: Desk) -> None:
    good = [await desk.decline("BUG", f"before {i}") for i in range(5)]
    bad = await desk.decline("BUG", "bug")
    good += [await desk.decline("BUG", f"after {i}") for i in range(5)]
    for identifier in good:
        assert (await desk.receipt(identifier))["outcome"] == "accepted"
    assert (await desk.receipt(bad))["outcome"] == "unreadable"
    (parked,) = await desk.parked(bad)
    assert parked["error"] == "ZeroDivisionError: a bug" and "financing_declined" in parked["trace"]
    attempts = await desk.database.fetchval("select count from attempts where message_id = $1", bad)
    assert attempts == 6
    assert sorted(await desk.reasons("BUG")) == sorted(f"{when} {i}" for when in ("before", "after") for i in range(5))


async def test_a_batch_with_every_kind_of_message_loses_none_of_them(desk: Desk) -> None:
    wanted: dict[str, str] = {}
    for i in range(60):
        kind = ("fine", "refuse", "again", "unreadable", "bug")[i % 5 if i < 50 else 0]
        if kind == "unreadable":
            identifier = new_id()
            await desk.submit(envelope("FinancingDeclined", {"uscc": i}, identifier))
        else:
            identifier = await desk.decline("MIXED", kind)
        wanted[identifier] = {"fine": "accepted", "refuse": "refused", "again": "duplicate"}.get(kind, "unreadable")
    found = {identifier: (await desk.receipt(identifier, 15))["outcome"] for identifier in wanted}
    assert found == wanted and await desk.reasons("MIXED") == ["fine"] * 20


async def test_an_event_that_came_too_early_is_taken_when_what_it_needs_has_come(desk: Desk) -> None:
    await desk.event("gateway", "BusinessDayStarted", {"date": "2026-01-06"}, early := new_id())
    await desk.still_works()
    assert await desk.reasons("X") == []
    assert (await desk.command({"uscc": "X", "reason": "first"}))[0] == 200
    await desk.until(lambda: counted(desk, "X", 2))
    assert await desk.reasons("X") == ["first", "2026-01-06"] and not await desk.parked(early)


async def counted(desk: Desk, uscc: str, number: int) -> bool:
    return len(await desk.reasons(uscc)) == number


async def test_an_event_of_a_service_that_breaks_the_contract_is_parked_and_the_next_taken(desk: Desk) -> None:
    identifier = new_id()
    await desk.event("gateway", "BusinessDayStarted", {"date": "tomorrow"}, identifier)
    await desk.js.publish("events.yanqing.gateway.BusinessDayStarted", b"{" * 3)
    assert (await desk.until(lambda: desk.parked(identifier)))[0]["error"].startswith("Unreadable")
    before = len(await desk.reasons("X"))
    await desk.event("gateway", "BusinessDayStarted", {"date": "2026-01-07"})
    await desk.until(lambda: counted(desk, "X", before + 1))


# -- commands ------------------------------------------------------------------------------------------------------


async def test_a_command_is_carried_out_once_and_its_first_answer_is_the_answer_for_ever(desk: Desk) -> None:
    key = new_id()
    answers = [await desk.command({"uscc": "KEY", "reason": "r"}, key) for _ in range(3)]
    status, body = answers[0]
    assert (status, body["accepted"], body["result"]) == (200, True, {"today": "2026-01-05"})
    assert [e["type"] for e in body["events"]] == ["riskpool.EnterpriseVetoed.v1"]
    assert answers == [answers[0]] * 3 and await desk.reasons("KEY") == ["r"]


async def test_the_same_key_at_the_same_moment_is_carried_out_once(desk: Desk) -> None:
    key = new_id()
    answers = await asyncio.gather(*(desk.command({"uscc": "RACE", "reason": "r"}, key) for _ in range(12)))
    assert answers == [answers[0]] * 12 and await desk.reasons("RACE") == ["r"]


async def test_a_key_used_again_with_another_body_is_refused(desk: Desk) -> None:
    key = new_id()
    await desk.command({"uscc": "MISMATCH", "reason": "r"}, key)
    status, body = await desk.command({"uscc": "MISMATCH", "reason": "other"}, key)
    assert (status, body["rule"]) == (409, "idempotency.mismatch")
    assert (await desk.command({"uscc": "MISMATCH", "reason": "r"}, key))[0] == 200
    assert await desk.reasons("MISMATCH") == ["r"]


async def test_one_key_of_two_organisations_is_two_commands(desk: Desk) -> None:
    key = new_id()
    assert (await desk.command({"uscc": "KEYS", "reason": "r"}, key, by="finance"))[0] == 403
    assert (await desk.command({"uscc": "KEYS", "reason": "r"}, key))[0] == 200


@pytest.mark.parametrize("by", ["finance", "bank-a", "nobody", ""])
async def test_who_may_not_is_refused(desk: Desk, by: str) -> None:
    status, body = await desk.command({"uscc": "PERMISSION", "reason": "r"}, by=by)
    assert (status, body["rule"]) == (403, "permission") and await desk.reasons("PERMISSION") == []


async def test_a_command_in_an_unknown_scheme_is_not_found(desk: Desk) -> None:
    status, body = await desk.command({"uscc": "U", "reason": "r"}, scheme="nosuch")
    assert (status, body["rule"], body["reason"]) == (404, "unknown", "scheme")


MALFORMED: list[object] = [
    {}, {"uscc": "U"}, {"uscc": 7, "reason": "r"}, {"uscc": "U", "reason": "a\x00"}, [], None, "text", nested(900),
    {"uscc": "U", "reason": float("nan")}, {"uscc": "U", "reason": nested(100)}, {"uscc": "U", "reason": "x" * 10_000},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MALFORMED)))
async def test_a_command_that_breaks_the_contract_is_malformed(desk: Desk, number: int) -> None:
    status, body = await desk.command(MALFORMED[number])
    assert (status, body["rule"]) == (422, "malformed") and body["figures"]["problem"]


async def test_an_unknown_command_is_malformed(desk: Desk) -> None:
    assert (await desk.command({}, name="Nonsense"))[0] == 422


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"{}", b"[]", b'{"a":' * 5000])
@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents+json", "text/plain"])
async def test_a_request_that_is_no_command_is_answered_at_once(desk: Desk, body: bytes, content_type: str) -> None:
    subject = "commands.yanqing.review.VetoEnterprise"
    reply = await desk.client.request(subject, body, timeout=3, headers={"content-type": content_type})
    assert json.loads(reply.data)["status"] == 422


async def test_nobody_answers_for_a_service_that_is_not_there(desk: Desk) -> None:
    with pytest.raises(nats.errors.NoRespondersError):
        await desk.client.request("commands.yanqing.pool.InjectCapital", b"{}")
