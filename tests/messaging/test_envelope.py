"""Our envelope is a CloudEvent to others: the official SDK reads it; and our ids sort by time."""

import json
import time
import uuid
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.clock import SHANGHAI, Clock
from shared.contracts.gateway import BusinessDayStarted
from shared.contracts.partners import FinancingDeclined
from shared.contracts.review import EnterpriseVetoed, FinancingRefused
from shared.messaging.envelope import CONTENT_TYPE, Envelope, new_id, printable
from shared.messaging.receipts import Receipt, announce_receipt
from shared.messaging.unit_of_work import Announcement, Transaction, UnitOfWork
from shared.scheme.loader import load_scheme
from tests.messaging.outside import Desk, envelope

NOW = datetime(2026, 1, 5, 9, tzinfo=SHANGHAI)
EXTENSIONS = ("scheme", "correlationid", "causationid", "schemeversion", "traceparent")


def read_by_the_sdk(payload: str) -> CloudEvent:
    message = HTTPMessage(headers={"content-type": CONTENT_TYPE}, body=payload.encode())
    event = from_structured_event(message)
    assert isinstance(event, CloudEvent)
    return event


def announced(*events: Any, trace: str | None = None) -> list[Announcement]:
    """The outbox rows of a unit of work that records these events."""
    connection: Any = None
    transaction = Transaction(connection, "review", ())
    unit = UnitOfWork(transaction, load_scheme("yanqing"), NOW, "bank-a", "bank", "cause", traceparent=trace)

    async def run() -> None:
        await unit.record(events)

    with pytest.raises(StopIteration):
        run().send(None)
    return transaction.announcements


@pytest.mark.parametrize("trace", [None, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_the_official_sdk_reads_our_events(trace: str | None) -> None:
    for event in (
        FinancingRefused(uscc="91110000600037341L", institution="bank-a", reason='中文 “quoted” \\ and "this"\n'),
        EnterpriseVetoed(uscc="U", reason="r"),
    ):
        (row,) = announced(event, trace=trace)
        read, sent = read_by_the_sdk(row.payload), json.loads(row.payload)
        assert read.get_id() == row.event_id == sent["id"]
        assert (read.get_source(), read.get_type()) == ("/services/review", f"riskpool.{row.name}.v1")
        assert (read.get_subject(), read.get_time(), read.get_specversion()) == (event.uscc, NOW, "1.0")
        assert read.get_datacontenttype() == "application/json" and read.get_data() == event.model_dump(mode="json")
        assert {key: read.get_extension(key) for key in EXTENSIONS} == {key: sent.get(key) for key in EXTENSIONS}
        assert read.get_extension("correlationid") == event.uscc and read.get_extension("causationid") == "cause"
        assert Envelope.model_validate_json(row.payload).name == row.name


@pytest.mark.parametrize("number", ["\t1", "two\nlines", "延庆 1"])
def test_a_number_with_a_tab_or_a_line_in_it_leaves_the_event_readable(number: str) -> None:
    """As somebody pasted it out of a table."""
    (row,) = announced(EnterpriseVetoed(uscc=number, reason="r"))
    read = Envelope.model_validate_json(row.payload)
    assert read.data["uscc"] == number and read.subject == read.correlationid == printable(number, 200)


def test_the_official_sdk_reads_an_event_about_nothing_in_particular() -> None:
    (row,) = announced(BusinessDayStarted(date=NOW.date()))
    assert read_by_the_sdk(row.payload).get_subject() is None  # left out: an empty one is against the specification


@pytest.mark.parametrize("outcome", ["accepted", "refused", "duplicate", "unreadable"])
def test_the_official_sdk_reads_our_receipts(outcome: str) -> None:
    connection: Any = None
    transaction = Transaction(connection, "review", ())
    told: dict[str, Any] = {"rule": "pool.custodian", "detail": 'said "so"\n'} if outcome == "refused" else {}
    receipt = Receipt.model_validate({"event_id": "partner's own id", "outcome": outcome, "at": NOW, **told})
    of = (receipt.event_id, receipt.outcome, NOW.isoformat(), receipt.rule, receipt.detail, None, b"\1" * 32)
    announce_receipt(transaction, "bank-a", "yanqing", "FinancingDeclined", *of)
    (row,) = transaction.announcements
    read = read_by_the_sdk(row.payload)
    assert (read.get_type(), read.get_subject()) == ("riskpool.Receipt.v1", "partner's own id")
    assert read.get_data() == receipt.model_dump(mode="json", exclude_none=True)
    assert read.get_extension("causationid") == "partner's own id"
    assert read.get_extension("bodysha256") == "01" * 32


def test_what_the_sdk_writes_we_read() -> None:
    from cloudevents.core.bindings.http import to_structured_event

    data = {"uscc": "U", "reason": "r"}
    attributes = {"id": new_id(), "source": "/partners/bank-a", "type": "riskpool.FinancingDeclined.v1", "time": NOW,
                  "specversion": "1.0", "datacontenttype": "application/json", "scheme": "yanqing"}  # fmt: skip
    body = to_structured_event(CloudEvent(attributes, data)).body
    read = Envelope.model_validate_json(body)
    assert (read.name, read.scheme, read.time) == ("FinancingDeclined", "yanqing", NOW)
    assert FinancingDeclined.model_validate(read.data).uscc == "U"


async def test_the_official_sdk_reads_what_is_on_the_bus(desk: Desk) -> None:
    identifier = await desk.decline("SDK", "fine")
    await desk.receipt(identifier)
    rows = await desk.database.fetch("select payload from outbox where payload like $1", f"%{identifier}%")
    assert sorted(read_by_the_sdk(row["payload"]).get_type() for row in rows) == [
        "riskpool.FinancingRefused.v1", "riskpool.Receipt.v1",
    ]  # fmt: skip


def test_an_event_too_large_for_the_bus_is_never_written() -> None:
    with pytest.raises(BaseException, match="too large for the bus"):
        announced(FinancingRefused.model_construct(uscc="U", institution="bank-a", reason="x" * 1_000_000))


@given(st.text(max_size=300))
def test_printable_text_can_be_stored_anywhere(text: str) -> None:
    shown = printable(text, 200)
    assert len(shown) <= 200 and "\x00" not in shown
    assert shown.encode().decode() == shown and printable(shown, 200) == shown


@given(st.text(max_size=250))
def test_an_id_is_taken_as_it_is_or_not_at_all(identifier: str) -> None:
    body = envelope("FinancingDeclined", {}, identifier or "")
    try:
        read = Envelope.model_validate_json(json.dumps({**json.loads(body), "id": identifier}))
    except ValidationError:
        assert not identifier or len(identifier) > 200 or printable(identifier, 250) != identifier
    else:
        assert read.id == identifier


def test_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    began = time.time_ns() // 1_000_000
    ids = []
    for _ in range(20):
        ids.append(new_id())
        time.sleep(0.002)
    ended = time.time_ns() // 1_000_000
    assert ids == sorted(ids) and len(set(ids)) == 20
    for identifier in map(uuid.UUID, ids):
        assert (identifier.version, identifier.variant) == (7, uuid.RFC_4122)
        assert began <= identifier.int >> 80 <= ended
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_the_clock_is_aware_and_in_shanghai() -> None:
    assert Clock.now().utcoffset() == NOW.utcoffset()
