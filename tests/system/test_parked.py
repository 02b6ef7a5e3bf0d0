"""What was parked is seen, handled again once, or discarded with a reason, by who runs the machines."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest
from nats.js.api import PubAck

from riskpool.scenario.embedded import make_tokens
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start

SECRET = "a name that no operator should read"


class House:
    """A stack, and its API as some organisations see it."""

    def __init__(self, stack: RunningStack) -> None:
        tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", {"operator", "drc", "bank-x"}))
        self.stack = stack
        self.http = {
            name: httpx.Client(
                base_url=f"{stack.api_url}/v1/schemes/yanqing",
                headers={"Authorization": f"Bearer {tokens(name)}", "Accept-Language": "en"},
                timeout=30,
            )
            for name in ("operator", "drc", "bank-x")
        }

    async def publish(self, subject: str, body: bytes) -> PubAck:
        credentials = self.stack.description["nats_credentials"]
        async with await nats.connect(self.stack.nats_url, user_credentials=credentials) as client:
            return await client.jetstream().publish(subject, body)

    def parked(self, settled: bool = False) -> list[dict]:
        answer = self.http["operator"].get("/parked", params={"settled": settled})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def of(self, service: str, subject: str) -> list[dict]:
        return [one for one in self.parked() if (one["service"], one["subject"]) == (service, subject)]

    def riskpool(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "riskpool", "parked", *words, "--data", str(self.stack.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def settle(self, one: dict, organisation: str = "operator", **body: str) -> httpx.Response:
        return self.http[organisation].post(f"/parked/{one['service']}/{one['id']}", json=body)

    async def sql(self, service: str, statement: str, *values: object) -> list[asyncpg.Record]:
        url = self.stack.description["owner_database"].format(service=service).replace("+asyncpg", "")
        connection = await asyncpg.connect(url, ssl=False)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def house(start_for_module: Start) -> Iterator[House]:
    yield House(start_for_module("parked", "--free-ports", "--clock", "message").until_ready())


def day_started(event_id: str) -> bytes:
    told = {"specversion": "1.0", "id": event_id, "source": "/services/gateway", "scheme": "yanqing",
            "type": "riskpool.BusinessDayStarted.v1", "time": "2026-03-02T09:00:00+08:00",
            "data": {"date": "2026-03-02"}}  # fmt: skip
    return json.dumps(told).encode()


async def park(house: House, service: str, body: bytes, subject: str, consumer: str = "events") -> None:
    """A row as the intake writes it, of a message that failed for a reason that is gone."""
    await house.sql(
        service,
        "insert into parked (consumer, stream, stream_seq, message_id, subject, headers, body, error, trace, parked_at)"
        " values ($1, 'EVENTS', 1000000 + floor(random() * 1000000), $2, $3, '{}', $4, 'Failed: once', '', $5)",
        consumer, str(uuid4()), subject, body, datetime.now(UTC),  # noqa: TID251
    )  # fmt: skip


async def test_what_cannot_be_read_is_listed_without_its_bytes_and_shown_on_the_server(house: House) -> None:
    subject = "events.yanqing.review.EnterpriseRated"
    await house.publish(subject, json.dumps({"what": SECRET}).encode())
    await asyncio.to_thread(eventually, lambda: bool(house.of("pool", subject) or house.of("gateway", subject)), 15)
    listed = house.parked()
    assert SECRET not in json.dumps(listed)
    one = next(one for one in listed if one["subject"] == subject)
    shown = house.riskpool("show", one["service"], one["id"])
    assert shown.returncode == 0 and SECRET in shown.stdout and "trace:" in shown.stdout
    assert one["id"] in house.riskpool("list").stdout


async def test_a_message_is_discarded_once_with_a_reason_that_is_kept(house: House) -> None:
    await park(house, "pool", b"{}", "events.yanqing.review.LoanCovered")
    [one] = house.of("pool", "events.yanqing.review.LoanCovered")
    assert house.settle(one, do="discard").json()["rule"] == "parked"
    done = house.settle(one, do="discard", reason="a test of ours")
    assert done.status_code == 200, done.text
    assert house.settle(one, do="discard", reason="again").status_code == 409
    assert one["id"] not in {other["id"] for other in house.parked()}
    [settled] = [other for other in house.parked(settled=True) if other["id"] == one["id"]]
    assert (settled["settlement"], settled["reason"]) == ("discarded", "a test of ours")
    assert settled["settled_by"] == "operator@yanqing" and settled["bytes"] == 2
    acts = await house.sql("gateway", "select action, organisation from actions where about like $1", f"%{one['id']}")
    assert [tuple(row) for row in acts] == [("parked.discard", "operator")]


async def test_an_event_is_handled_again_exactly_once(house: House) -> None:
    event_id = str(uuid4())
    for _ in range(2):
        await park(house, "pool", day_started(event_id), "events.yanqing.gateway.BusinessDayStarted")
    first, second = house.of("pool", "events.yanqing.gateway.BusinessDayStarted")
    assert house.settle(first, do="replay").status_code == 200
    taken = "select count(*) as number from inbox where consumer = 'events' and message_id = $1"
    assert (await house.sql("pool", taken, event_id))[0]["number"] == 1
    assert house.riskpool("replay", "pool", second["id"]).returncode == 0
    assert (await house.sql("pool", taken, event_id))[0]["number"] == 1
    assert not house.of("pool", "events.yanqing.gateway.BusinessDayStarted")
    assert "settled before" in house.riskpool("replay", "pool", second["id"]).stderr


async def test_what_fails_again_stays_parked_and_says_why(house: House) -> None:
    await park(house, "review", b"no JSON", "events.yanqing.gateway.BusinessDayStarted")
    [one] = house.of("review", "events.yanqing.gateway.BusinessDayStarted")
    failed = house.settle(one, do="replay")
    assert (failed.status_code, failed.json()["rule"]) == (409, "parked") and "Unreadable" in failed.json()["detail"]
    assert house.of("review", "events.yanqing.gateway.BusinessDayStarted") == [one]
    assert house.settle(one, do="discard", reason="end of the test").status_code == 200


async def test_a_partners_message_was_answered_and_is_not_taken_again(house: House) -> None:
    await park(house, "review", b"{}", "partners.bank-x.yanqing.LoanRepaid", "partner-bank-x")
    [one] = house.of("review", "partners.bank-x.yanqing.LoanRepaid")
    refused = house.settle(one, do="replay")
    assert refused.status_code == 409 and "under a new id" in refused.json()["detail"]
    assert house.settle(one, do="discard", reason="the bank was told").status_code == 200


async def test_only_who_runs_the_machines_sees_and_settles(house: House) -> None:
    await park(house, "pool", b"{}", "events.yanqing.review.LoanCovered")
    [one] = house.of("pool", "events.yanqing.review.LoanCovered")
    for organisation in ("drc", "bank-x"):
        assert house.http[organisation].get("/parked").status_code == 403
        assert house.settle(one, organisation, do="discard", reason="x").status_code == 403
    assert house.settle({"service": "pool", "id": "0" * 16}, do="replay").status_code == 404
    assert house.settle({"service": "nobody", "id": one["id"]}, do="replay").status_code == 404
    assert house.settle(one, do="discard", reason="end of the test").status_code == 200
    assert house.riskpool("discard", "pool", one["id"], "--reason", " ").returncode == 1
