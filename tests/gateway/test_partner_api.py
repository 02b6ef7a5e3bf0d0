"""Partner events over HTTP: published for the calling institution, answered by their receipt."""

import json
import uuid
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Gateway
from tests.gateway.test_commands_api import problem

DECLINED = {"uscc": "91110119MA01GT8805", "reason": "抵押不足"}
TIME = {"Riskpool-Time": "2026-01-20"}


def envelope(name: str, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/partners/bank-a",
        "type": f"riskpool.{name}.v1",
        "time": "2026-01-20T09:00:00+08:00",
        "data": data,
        **changes,
    }


def test_a_refused_event_answers_its_receipt_as_a_problem(signed: Gateway) -> None:
    with signed.client("bank-a", **TIME) as bank:
        answer = bank.post("/partner-events/FinancingDeclined", json=DECLINED, headers={"Idempotency-Key": "e 1"})
        body = problem(answer, 409, answer.json()["rule"])
        assert (body["event_id"], body["outcome"], body["institution"]) == ("e 1", "refused", "bank-a")
        receipt = bank.get(answer.headers["location"].removeprefix("/v1/schemes/yanqing"))
        assert receipt.json()["detail"] == body["detail"]
        again = bank.post("/partner-events/FinancingDeclined", json=DECLINED, headers={"Idempotency-Key": "e 1"})
        assert again.json() == body


def test_one_id_never_stands_for_two_contents(signed: Gateway) -> None:
    with signed.client("bank-a", **TIME, **{"Idempotency-Key": "e-2"}) as bank:
        bank.post("/partner-events/FinancingDeclined", json=DECLINED)
        other = bank.post("/partner-events/FinancingDeclined", json={**DECLINED, "reason": "其他"})
    problem(other, 409, "idempotency.mismatch")


def test_two_institutions_may_use_the_same_id(signed: Gateway) -> None:
    for institution, reason in (("bank-a", "甲"), ("bank-b", "乙")):
        with signed.client(institution, **TIME, **{"Idempotency-Key": "shared"}) as bank:
            answer = bank.post("/partner-events/FinancingDeclined", json={**DECLINED, "reason": reason})
            assert answer.json()["institution"] == institution
            shown = bank.get("/receipts/shared").json()
            assert shown["institution"] == institution
    with signed.client("drc") as drc:
        assert drc.get("/receipts/shared?institution=bank-b").json()["institution"] == "bank-b"


def test_a_whole_cloudevent_is_sent_as_it_is(signed: Gateway) -> None:
    event = envelope("FinancingDeclined", DECLINED, id="名 / ?1")
    with signed.client("bank-a") as bank:
        headers = {"Content-Type": "application/cloudevents+json"}
        answer = bank.post("/partner-events/FinancingDeclined", content=json.dumps(event), headers=headers)
        assert answer.json()["event_id"] == "名 / ?1" and answer.status_code == 409
        shown = bank.get(answer.headers["location"].removeprefix("/v1/schemes/yanqing"))
        assert shown.json()["event_id"] == "名 / ?1"


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("NoSuchEvent", {"a": 1}),
        ("FinancingDeclined", {"uscc": 5}),
        ("FinancingDeclined", envelope("LoanRepaid", DECLINED)),
        ("FinancingDeclined", envelope("FinancingDeclined", DECLINED, scheme="elsewhere")),
    ],
)
def test_what_cannot_be_read_is_kept_and_answered_unreadable(signed: Gateway, name: str, event: dict[str, Any]) -> None:
    with signed.client("bank-a", **TIME) as bank:
        body = problem(bank.post(f"/partner-events/{name}", json=event), 422, "unreadable")
    assert body["outcome"] == "unreadable" and body["event"] == name


@pytest.mark.parametrize("left_out", ["data", "source"])
def test_what_is_unreadable_is_answered_the_same_again_and_other_bytes_are_a_mismatch(
    signed: Gateway, left_out: str
) -> None:
    event = envelope("FinancingDeclined", DECLINED)
    del event[left_out]
    with signed.client("bank-a") as bank:
        first, again = (bank.post("/partner-events/FinancingDeclined", json=event) for _ in range(2))
        other = bank.post("/partner-events/FinancingDeclined", json={**event, "data": {"uscc": 5}})
    assert problem(first, 422, "unreadable") == again.json()
    problem(other, 409, "idempotency.mismatch")


def test_an_event_in_another_institutions_name_is_refused(signed: Gateway) -> None:
    with signed.client("bank-b") as bank:
        answer = bank.post("/partner-events/FinancingDeclined", json=envelope("FinancingDeclined", DECLINED))
    problem(answer, 409, "permission")


def test_agencies_and_strangers_report_nothing(signed: Gateway) -> None:
    for organisation in ("drc", "stranger"):
        with signed.client(organisation, **TIME) as client:
            problem(client.post("/partner-events/FinancingDeclined", json=DECLINED), 403, "permission")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"5", b'{"a": "\\ud800"}', b'{"specversion": "1.0"}'])
def test_what_is_no_event_at_all_is_malformed(signed: Gateway, body: bytes) -> None:
    with signed.client("bank-a", **TIME, **{"Content-Type": "application/json"}) as bank:
        problem(bank.post("/partner-events/FinancingDeclined", content=body), 422, "malformed")


def test_an_event_larger_than_the_bus_takes_of_a_partner_is_refused_with_the_limit(signed: Gateway) -> None:
    with signed.client("bank-a", **TIME, **{"Idempotency-Key": "large"}) as bank:
        answer = bank.post("/partner-events/FinancingDeclined", json={**DECLINED, "remark": "x" * 263_000})
        assert problem(answer, 413, "too_large")["figures"] == {"limit": "256 KiB"}
        answer = bank.post("/partner-events/FinancingDeclined", json={**DECLINED, "remark": "x" * 260_000})
        assert answer.json()["event_id"] == "large"


@pytest.mark.parametrize("name", ["a.b", "*", ">", "x" * 65, "a b", "%00"])
def test_a_name_that_no_subject_can_hold_is_not_found(signed: Gateway, name: str) -> None:
    with signed.client("bank-a", **TIME) as bank:
        answer = bank.post(f"/partner-events/{name}", json=DECLINED)
    assert answer.status_code in (404, 422)
    problem(answer, answer.status_code, answer.json()["rule"])


def test_receipts_are_listed_to_their_institution_and_to_agencies(signed: Gateway) -> None:
    for organisation in ("bank-a", "bank-b"):
        with signed.client(organisation, **TIME) as bank:
            bank.post("/partner-events/FinancingDeclined", json=DECLINED)
    with signed.client("bank-b") as bank, signed.client("drc") as drc:
        assert {one["institution"] for one in bank.get("/receipts?institution=bank-a").json()["items"]} == {"bank-b"}
        assert {one["institution"] for one in drc.get("/receipts?limit=500").json()["items"]} == {"bank-a", "bank-b"}
        problem(bank.get("/receipts/no-such-event"), 404, "unknown")


def test_a_service_that_does_not_answer_leaves_the_receipt_to_be_asked_for(signed: Gateway) -> None:
    """The pool does not run here, so nobody takes the custodian's statement."""
    with signed.client("custodian", **TIME) as custodian:
        body = {"as_of": "2026-01-19", "balance": "0.00"}
        answer = custodian.post("/partner-events/StatementIssued", json=body, headers={"Idempotency-Key": "s-1"})
    assert (answer.status_code, answer.headers["location"]) == (202, "/v1/schemes/yanqing/receipts/s-1")


def test_the_bus_is_not_reached_without_a_body_type(signed: Gateway) -> None:
    with signed.client("bank-a") as bank:
        answer: httpx.Response = bank.post("/partner-events/FinancingDeclined", content=b"{}")
    problem(answer, 415, "media_type")


def test_an_institution_sees_its_own_backlog_and_no_other(signed: Gateway) -> None:
    signed.settle()
    with signed.client("bank-a") as bank, signed.client("drc") as drc:
        own = bank.get("/institutions/bank-a/backlog").json()
        assert own == drc.get("/institutions/bank-a/backlog").json() and own["limit"] > own["bytes"]
        problem(bank.get("/institutions/bank-b/backlog"), 403, "permission")
