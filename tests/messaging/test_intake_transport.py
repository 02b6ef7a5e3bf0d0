"""What a sender can do to bytes, envelope, subject and headers: never more than one unreadable event of its own."""

import json
from typing import Any

import pytest

from shared.messaging.envelope import new_id
from tests.messaging.outside import Desk, envelope

GOOD = {"uscc": "U", "reason": "fine"}
HUGE = b"1" * 5000

NO_EVENT = {
    "nothing": b"",
    "no JSON": b"{nope",
    "no text": b"\xff\xfe\x00",
    "null": b"null",
    "list": b"[]",
    "number": b"7",
    "bottomless": b'{"data":' + b"[" * 200_000,
    "bottomless and closed": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "endless number": b'{"specversion":"1.0","data":{"x":' + HUGE + b"}}",
    "no id": b'{"specversion":"1.0"}',
}


@pytest.mark.parametrize("what", NO_EVENT)
async def test_bytes_that_are_no_event_are_parked_and_answered_by_their_place(desk: Desk, what: str) -> None:
    identifier = await desk.submit(NO_EVENT[what])
    assert (await desk.receipt(identifier))["outcome"] == "unreadable"
    (parked,) = await desk.parked(identifier)
    assert parked["body"] == NO_EVENT[what]
    await desk.still_works()


@pytest.mark.parametrize("identifier", ["", "x" * 201, "a\x00b", "a\nb", "\ud800", 7, None, {}, ["a"]])
async def test_an_id_that_is_none_is_answered_by_its_place(desk: Desk, identifier: object) -> None:
    body = json.loads(envelope("FinancingDeclined", GOOD))
    where = await desk.submit(json.dumps({**body, "id": identifier}).encode())
    assert (await desk.receipt(where))["outcome"] == "unreadable"
    await desk.still_works()


WRONG_ENVELOPE: dict[str, dict[str, Any]] = {
    "other version": {"specversion": "0.3"},
    "no time": {"time": None},
    "time without offset": {"time": "2026-01-05T09:00:00"},
    "before all time": {"time": "0001-01-01T00:00:00+14:00"},
    "after all time": {"time": "9999-12-31T23:59:59-12:00"},
    "time that does not exist": {"time": "2026-02-30T00:00:00+08:00"},
    "type of another event": {"type": "riskpool.LoanRepaid.v1"},
    "type of nobody": {"type": "FinancingDeclined"},
    "next version": {"type": "riskpool.FinancingDeclined.v2"},
    "other scheme": {"scheme": "elsewhere"},
    "NUL in source": {"source": "/partners/\x00"},
    "NUL in subject": {"subject": "\x00"},
    "endless source": {"source": "/" * 5000},
    "NUL in trace": {"traceparent": "\x00"},
    "list as correlation": {"correlationid": []},
}


@pytest.mark.parametrize("wrong", WRONG_ENVELOPE)
async def test_an_envelope_that_is_wrong_is_answered_unreadable(desk: Desk, wrong: str) -> None:
    identifier = new_id()
    await desk.decline("U", "fine", identifier, **WRONG_ENVELOPE[wrong])
    assert (await desk.receipt(identifier))["outcome"] == "unreadable"
    await desk.still_works()


async def test_unknown_attributes_and_fields_are_ignored(desk: Desk) -> None:
    data = {**GOOD, "remark": {"a": [1.5]}}
    identifier = new_id()
    await desk.submit(envelope("FinancingDeclined", data, identifier, partitionkey="x", dataschema="about:blank"))
    assert (await desk.receipt(identifier))["outcome"] == "accepted"


@pytest.mark.parametrize("named", ["bank-b", "BANK-A", "bank-a\x00", {"a": 1}, "x" * 900_000])
async def test_another_institution_in_the_data_is_refused(desk: Desk, named: object) -> None:
    identifier = new_id()
    await desk.submit(envelope("FinancingDeclined", {**GOOD, "institution": named}, identifier))
    receipt = await desk.receipt(identifier)
    assert (receipt["outcome"], receipt["rule"]) == ("refused", "permission") and len(receipt["detail"]) < 1500
    await desk.until(lambda: kept(desk, identifier))


async def kept(desk: Desk, identifier: str) -> bool:
    return bool(await desk.database.fetchval("select count(*) from receipts where event_id = $1", identifier))


async def test_another_institution_in_the_source_is_refused(desk: Desk) -> None:
    receipt = await desk.receipt(await desk.decline("U", "fine", source="/partners/bank-b"))
    assert (receipt["outcome"], receipt["rule"]) == ("refused", "permission") and "bank-b" in receipt["detail"]


async def test_the_receipt_goes_to_the_institution_of_the_subject_only(desk: Desk) -> None:
    identifier = await desk.decline("U", "fine", source="/partners/bank-b")
    await desk.receipt(identifier)
    subjects = await desk.database.fetch(
        "select subject from outbox where payload::jsonb -> 'data' ->> 'event_id' = $1", identifier
    )
    assert [row["subject"] for row in subjects] == ["receipts.bank-a.yanqing.FinancingDeclined"]


async def test_a_kind_of_institution_that_may_not_send_this_is_refused(desk: Desk) -> None:
    identifier = new_id()
    await desk.submit(envelope("PremiumPaid", {}, identifier), name="PremiumPaid")
    assert (await desk.receipt(identifier))["outcome"] == "unreadable"


async def test_unknown_event_and_unknown_scheme_are_answered_unreadable(desk: Desk) -> None:
    one, two = new_id(), new_id()
    await desk.submit(envelope("Nonsense", {}, one), name="Nonsense")
    await desk.submit(envelope("FinancingDeclined", GOOD, two), scheme="nosuch")
    assert "Nonsense" in (await desk.receipt(one))["detail"]
    assert "nosuch" in (await desk.receipt(two))["detail"]
    await desk.still_works()


SUBJECTS = {
    "no event": b"partners.bank-a.yanqing",
    "nothing at all": b"partners.bank-a.x",
    "too many tokens": b"partners.bank-a.yanqing.FinancingDeclined.More",
    "no text": b"partners.bank-a.yanqing.\xff\xfe",
    "NUL": b"partners.bank-a.yanqing.\x00",
    "NUL as scheme": b"partners.bank-a.\x00.FinancingDeclined",
    "form feed": b"partners.bank-a.yanqing.a\x0cb",
    "vertical tab": b"partners.bank-a.yanqing.a\x0bb",
    "star": b"partners.bank-a.yanqing.*",
    "arrow": b"partners.bank-a.yanqing.>",
    "star as scheme": b"partners.bank-a.*.FinancingDeclined",
    "no-break space": "partners.bank-a.yanqing.\u00a0".encode(),
    "line separator": "partners.bank-a.yanqing.\u2028".encode(),
    "endless": b"partners.bank-a.yanqing." + b"x" * 3000,
}


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_any_subject_that_the_server_lets_through_is_answered(desk: Desk, subject: str) -> None:
    identifier = new_id()
    await desk.submit_raw(SUBJECTS[subject], b"", envelope("FinancingDeclined", GOOD, identifier))
    assert (await desk.receipt(identifier))["outcome"] == "unreadable"
    await desk.still_works()
    published = "select count(*) from outbox where published_at is not null and payload like $1"
    await desk.until(lambda: desk.database.fetchval(published, f"%{identifier}%"))


HEADERS = {
    "a status": b"NATS/1.0\r\nStatus: 404\r\n\r\n",
    "a status of trouble": b"NATS/1.0\r\nStatus: 503\r\n\r\n",
    "a status that is none": b"NATS/1.0\r\nStatus: \xff\r\n\r\n",
    "status line": b"NATS/1.0 503\r\n\r\n",
    "no text": b"NATS/1.0\r\n\xff\xfe: \xff\r\n\r\n",
    "NUL": b"NATS/1.0\r\nA\x00: \x00\r\n\r\n",
    "no colon": b"NATS/1.0\r\nabc\r\n\r\n",
    "cut short": b"NATS/1.0",
    "cut after the line": b"NATS/1.0\r\n",
    "something else": b"garbage\r\n\r\n",
    "JSON it is not": b"NATS/1.0\r\ncontent-type: application/json\r\n\r\n",
    "encoded": b"NATS/1.0\r\ncontent-encoding: gzip\r\ncontent-type: text/plain; charset=nosuch\r\n\r\n",
    "reply": b"NATS/1.0\r\nreply_to: events.yanqing.review.X\r\ncorrelation_id: \x01\r\n\r\n",
    "endless": b"NATS/1.0\r\na: " + b"x" * 60_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("good", [True, False])
async def test_any_header_that_the_server_lets_through_is_answered(desk: Desk, header: str, good: bool) -> None:
    identifier = new_id()
    body = envelope("FinancingDeclined", GOOD, identifier) if good else b"\xff{" + identifier.encode()
    place = await desk.submit_raw(b"partners.bank-a.yanqing.FinancingDeclined", HEADERS[header], body)
    receipt = await desk.receipt(identifier if good else place)
    assert receipt["outcome"] == ("accepted" if good else "unreadable")
    await desk.still_works()


async def test_an_event_for_another_service_is_left_to_it(desk: Desk) -> None:
    identifier = new_id()
    await desk.submit(envelope("TransferSettled", {"amount": "nonsense"}, identifier), name="TransferSettled")
    await desk.still_works()
    assert not await desk.receipts(identifier) and not await desk.parked(identifier)


async def test_events_with_much_content_are_taken_up_to_what_the_bus_carries(desk: Desk) -> None:
    identifier = new_id()
    data = {**GOOD, "remark": "x" * 1_000_000}
    await desk.submit(envelope("FinancingDeclined", data, identifier))
    assert (await desk.receipt(identifier))["outcome"] == "accepted"
