"""What was parked is seen, handled again once, or discarded with a reason, by who runs the machines."""

import asyncio
import json
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest
from nats.js.api import PubAck
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.scenario.embedded import make_tokens
from tests.conftest import eventually
from tests.gateway.console import person, sign_in, text_of
from tests.system.conftest import RunningStack, Start

SECRET = "a name that no operator should read"
EVENTS_OF_DAYS = "events.yanqing.gateway.BusinessDayStarted"
FLOOD = """
insert into parked
    (consumer, stream, stream_seq, message_id, subject, headers, body, error, trace, parked_at, settled_at)
select 'partner-' || $1, 'PARTNER_' || $1, n, $1 || '-' || n, 'partners.' || $1 || '.yanqing.LoanRepaid', '{}', 'x',
    'Unreadable: no CloudEvent', '', timestamptz '2026-02-01Z' - n * interval '1 second',
    case when n % 2 = 0 and $3 then now() end
from generate_series(1, $2) n
"""


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

    def parked(self, settled: bool = False, **wish: str | int) -> list[dict]:
        """All of them, page by page."""
        found, cursor = list[dict](), None
        while True:
            asked = {"settled": settled, **wish, **({"cursor": cursor} if cursor else {})}
            answer = self.http["operator"].get("/parked", params=asked)
            assert answer.status_code == 200, answer.text
            found, cursor = found + answer.json()["items"], answer.json()["next_cursor"]
            if cursor is None:
                return found

    def clear(self, organisation: str = "operator", **body: str) -> httpx.Response:
        return self.http[organisation].post("/parked", json={"do": "discard", **body})

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


async def park(
    house: House,
    service: str,
    body: bytes,
    subject: str,
    consumer: str = "events",
    error: str = "Failed: once",
    at: datetime | None = None,
    name: str = "",
) -> None:
    """A row as the intake writes it, of a message that failed for a reason that is gone."""
    await house.sql(
        service,
        "insert into parked (consumer, stream, stream_seq, message_id, subject, headers, body, error, trace, parked_at)"
        " values ($1, 'EVENTS', 1000000 + floor(random() * 1000000), $2, $3, '{}', $4, $5, '', $6)",
        consumer, name or str(uuid4()), subject, body, error, at or datetime.now(UTC),  # noqa: TID251
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


async def test_old_ones_behind_hundreds_of_a_partner_are_found_shown_handled_and_discarded(house: House) -> None:
    long_ago, lost = datetime(2026, 1, 6, tzinfo=UTC), "events.yanqing.review.LoanCovered"
    await park(house, "pool", day_started(str(uuid4())), EVENTS_OF_DAYS, at=long_ago)
    await park(house, "pool", b"{}", lost, at=long_ago)
    before = len(house.parked())
    for service in ("pool", "review"):
        await house.sql(service, FLOOD, "bank-w", 600, True)
    listed = house.parked()
    assert len({(one["service"], one["id"]) for one in listed}) == len(listed) == 2 * 300 + before
    assert all(one["parked_at"] >= later["parked_at"] for one, later in pairwise(listed))
    assert [one["id"] for one in house.parked(limit=7)] == [one["id"] for one in listed]
    assert len(house.parked(settled=True, institution="bank-w")) == 1200
    [old], [other] = house.of("pool", EVENTS_OF_DAYS), house.of("pool", lost)
    assert EVENTS_OF_DAYS in house.riskpool("show", "pool", old["id"]).stdout
    assert house.settle(old, do="replay").status_code == 200
    assert house.settle(other, do="discard", reason="a test of ours").status_code == 200
    assert house.http["operator"].get("/parked", params={"cursor": "nonsense"}).status_code == 422


async def test_all_that_waits_of_an_institution_is_discarded_at_once(house: House) -> None:
    house.clear(consumer="events", reason="a test before")
    await park(house, "pool", b"{}", "events.yanqing.review.LoanCovered")
    await house.sql("review", FLOOD, "bank-y", 1200, False)
    few = house.riskpool("list", "--institution", "bank-y", "--most", "150")
    assert len(few.stdout.splitlines()) == 150 and "review has more" in few.stderr
    assert house.clear("drc", institution="bank-w", reason="x").status_code == 403
    assert house.clear(institution="bank-w", reason=" ").json()["rule"] == "parked"
    for wrong in ({}, {"institution": "bank-w", "consumer": "events"}, {"institution": "bank-w", "service": "nobody"}):
        assert house.clear(reason="x", **wrong).status_code == 422
    only = house.clear(institution="bank-w", service="pool", reason="its program was wrong")
    assert only.json() == {"discarded": {"pool": 300}, "more": False}
    assert house.clear(institution="bank-y", reason="as well").json() == {"discarded": {"review": 1000}, "more": True}
    assert house.riskpool("discard-all", "--institution", "bank-w", "--reason", " ").returncode == 1
    done = house.riskpool("discard-all", "--institution", "bank-w", "--reason", "its program was wrong")
    assert "discarded 300 of review" in done.stdout and "discarded 0 of pool" in done.stdout
    assert [one["consumer"] for one in house.parked(institution="bank-w")] == []
    assert len(house.parked(institution="bank-y")) == 200 and len(house.parked(consumer="events")) == 1
    [settled, *_] = house.parked(settled=True, institution="bank-w", limit=1)
    assert settled["reason"] == "its program was wrong"
    acts = await house.sql("gateway", "select about from actions where about like '%partner-bank-%' order by at")
    assert [row["about"] for row in acts] == ["pool partner-bank-w: 300", "review partner-bank-y: 1000"]
    assert house.clear(institution="bank-y", reason="as well").json() == {"discarded": {"review": 200}, "more": False}
    assert house.clear(consumer="events", reason="end of the test").json()["discarded"] == {"pool": 1}


async def test_large_ones_are_listed_shown_in_part_written_whole_and_settled(house: House, tmp_path: Path) -> None:
    body = random.Random(1).randbytes(900_000)
    subject, error = "events.yanqing.review." + "LoanCovered" * 100, "Unreadable: " + "𠀀" * 1900
    for number in range(120):
        name = f'{number}\\"' + "𠀀" * 190
        await park(house, "review", body if number == 0 else b"{}", subject, error=error, name=name)
    listed = house.parked(consumer="events")
    assert len(listed) == 120 and all(one["error"].endswith("…") and len(one["error"]) == 500 for one in listed)
    [large] = [one for one in listed if one["bytes"] == 900_000]
    whole = house.http["operator"].get(f"/parked/review/{large['id']}").json()
    assert whole["error"] == error and whole["subject"] == subject
    assert house.http["drc"].get(f"/parked/review/{large['id']}").status_code == 403
    shown = house.riskpool("show", "review", large["id"])
    assert shown.returncode == 0 and "the first 65536 of 900000" in shown.stdout
    file = tmp_path / "bytes"
    saved = house.riskpool("show", "review", large["id"], "--save", str(file))
    assert saved.returncode == 0 and file.read_bytes() == body and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert house.riskpool("show", "review", large["id"], "--save", str(file)).returncode == 1
    failed = house.settle(large, do="replay")
    assert failed.status_code == 409 and "Unreadable" in failed.json()["detail"]
    assert house.settle(large, do="discard", reason="𠀀" * 500).json()["reason"] == "𠀀" * 500
    assert house.clear(consumer="events", reason="end of the test").json()["discarded"] == {"review": 119}


async def test_the_console_shows_them_in_pages(house: House) -> None:
    await house.sql("recovery", FLOOD, "bank-z", 60, False)
    engine = create_async_engine(house.stack.database_url("gateway"))
    await person(engine, "runner", "operator", "officer")
    await engine.dispose()
    headers = {"Accept": "text/html", "Accept-Language": "en", "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(base_url=house.stack.api_url, headers=headers, timeout=30) as browser:
        assert (await sign_in(browser, "runner")).status_code == 303
        first = await browser.get("/parked")
        assert "bank-z-50 " in text_of(first) and "bank-z-51 " not in text_of(first)
        following = first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
        second = await browser.get(following)
        assert "bank-z-51 " in text_of(second) and "bank-z-60 " in text_of(second) and 'rel="next"' not in second.text
        [one, *_] = house.parked(institution="bank-z")
        done = await browser.post(f"/parked/recovery/{one['id']}", data={"do": "discard", "reason": "seen"})
        assert done.status_code == 303 and len(house.parked(institution="bank-z")) == 59
    assert house.clear(institution="bank-z", reason="end of the test").json()["discarded"] == {"recovery": 59}
