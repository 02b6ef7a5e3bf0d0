"""The exporter says of the bus what the bus says, and that it is away when it is."""

import os
import signal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import eventually
from tests.monitoring.conftest import House


def figures(house: House) -> dict[tuple[str, ...], float]:
    answer = httpx.get(f"http://{house.exporter_address}/metrics", headers=house.headers, timeout=10)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_only_who_has_the_token_reads_it(house: House) -> None:
    assert httpx.get(f"http://{house.exporter_address}/metrics").status_code == 401


def test_streams_and_consumers_are_what_the_bus_says(house: House) -> None:
    shown = figures(house)
    streams = house.on_the_bus(lambda js: js.streams_info())
    assert {info.config.name for info in streams} == {"EVENTS", "RECEIPTS", *(f"PARTNER_{one}" for one in
                                                      ("bank-a", "bank-b", "custodian"))}  # fmt: skip
    for info in streams:
        name = info.config.name
        assert shown["riskpool_stream_messages", name] == info.state.messages
        assert shown["riskpool_stream_bytes", name] == info.state.bytes
        assert shown["riskpool_stream_last_sequence", name] == info.state.last_seq
    assert shown["riskpool_stream_messages", "EVENTS"] > 100
    assert shown["riskpool_stream_limit_bytes", "PARTNER_bank-a"] == 256 * 1024 * 1024
    assert ("riskpool_stream_limit_bytes", "EVENTS") not in shown
    for service in ("referral", "review", "pool", "recovery", "gateway"):
        assert shown["riskpool_consumer_pending_messages", service, "EVENTS"] == 0


def test_what_a_partner_sent_and_nobody_took_is_its_backlog(house: House) -> None:
    async def send(js: object) -> None:
        await js.add_stream(name="PARTNER_bank-z", subjects=["partners.bank-z.>"], max_bytes=100_000)
        await js.add_consumer("PARTNER_bank-z", durable_name="review", ack_policy="explicit")
        for number in range(3):
            await js.publish("partners.bank-z.yanqing.LoanRepaid", b"%d" % number)

    house.on_the_bus(send)
    try:
        shown = figures(house)
        assert shown["riskpool_ingress_backlog_messages", "bank-z"] == 3
        assert shown["riskpool_consumer_pending_messages", "review", "PARTNER_bank-z"] == 3
        assert shown["riskpool_stream_limit_bytes", "PARTNER_bank-z"] == 100_000
        assert shown["riskpool_ingress_backlog_messages", "bank-a"] == 0
    finally:
        house.on_the_bus(lambda js: js.delete_stream("PARTNER_bank-z"))


def test_a_bus_that_does_not_answer_is_said_to_be_away(house: House) -> None:
    assert figures(house)["riskpool_bus_up",] == 1
    pid = house.stack.pid("nats")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = figures(house)
        assert shown["riskpool_bus_up",] == 0
        assert not [key for key in shown if key[0].startswith("riskpool_stream")]
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: figures(house)["riskpool_bus_up",] == 1)
