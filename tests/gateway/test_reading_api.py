"""Reading over HTTP: who sees what, pages, ETags, the live stream and the API's own pages."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from services.gateway.auth import tokens
from shared.clock import Clock
from shared.contracts.registry import COMMANDS
from tests.conftest import Nats, Postgres, eventually
from tests.gateway.conftest import Gateway
from tests.gateway.test_commands_api import URL, enterprise, problem

AGENCIES_ONLY = (
    "/events",
    "/institutions",
    "/institutions/bank-a",
    "/departments",
    "/departments/scitech",
    "/obligations",
    "/quota/high",
    "/progress",
)
MONEY = ("/pool", "/ledger/entries", "/ledger/accounts")
OWN = {"/institutions/bank-a": "bank-a"}
EVERYBODY = ("/cases", "/loans", "/disbursements", "/recoveries", "/receipts", "/scheme")


@pytest.mark.parametrize("path", [*AGENCIES_ONLY, *MONEY, *EVERYBODY])
@pytest.mark.parametrize("organisation", ["drc", "yanqing-town", "bank-a", "custodian", "bank-b", "stranger"])
def test_who_may_read_what(signed: Gateway, organisation: str, path: str) -> None:
    agency = organisation in ("drc", "yanqing-town")
    allowed = agency or path in EVERYBODY or (organisation == "custodian" and path in MONEY)
    allowed = allowed or OWN.get(path) == organisation
    with signed.client(organisation) as client:
        answer = client.get(path)
    if allowed:
        assert answer.status_code == 200, answer.text
    else:
        problem(answer, 403, "permission")


@pytest.mark.parametrize(
    "path", ["/cases/none", "/loans/none", "/institutions/none", "/departments/drc", "/receipts/none"]
)
def test_what_is_not_there_is_unknown(signed: Gateway, path: str) -> None:
    with signed.client("drc") as client:
        problem(client.get(path), 404, "unknown")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=abc",
        "cursor=%00",
        "status=%00",
    ],
)
def test_parameters_that_make_no_sense_are_malformed(signed: Gateway, query: str) -> None:
    with signed.client("drc") as client:
        problem(client.get(f"/cases?{query}"), 422, "malformed")


@pytest.mark.parametrize(
    "path",
    [
        "/events?after=-1",
        "/events?after=99999999999999999999",
        "/quota/high?year=1",
        "/obligations?as_of=never",
        "/cases/a%00b",
        "/loans/a%00b",
    ],
)
def test_numbers_and_dates_outside_reason_are_malformed(signed: Gateway, path: str) -> None:
    with signed.client("drc") as client:
        problem(client.get(path), 422, "malformed")


def test_an_unchanged_resource_answers_not_modified(signed: Gateway) -> None:
    with signed.client("drc") as client:
        first = client.get("/scheme")
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        again = client.get("/scheme", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get("/scheme", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_pool_before_the_first_capital_is_empty_and_active(signed: Gateway) -> None:
    with signed.client("drc") as client:
        pool = client.get("/pool").json()
    assert (pool["state"], pool["balance"], pool["held"], pool["exposure"]) == ("active", "0.00", [], "0.00")


def test_the_scheme_shows_settings_with_clause_and_reading(signed: Gateway) -> None:
    with signed.client("bank-a") as client:
        scheme = client.get("/scheme").json()
    settings = {one["key"]: one for one in scheme["settings"]}
    assert settings["pause.at"]["value"] == "0.70" and settings["pause.at"]["clause"] == "三(八)"
    assert settings["term.effective_from"]["value"] == "2026-01-01" and settings["term.effective_from"]["reading"]


def test_events_are_listed_by_position_with_their_reason(signed: Gateway) -> None:
    with signed.client("drc") as client:
        items = client.get("/events?type=riskpool.AgreementSigned.v1").json()["items"]
        assert {one["type"] for one in items} == {"AgreementSigned"}
        after = client.get("/events", params={"after": items[0]["position"], "limit": 1}).json()["items"]
        assert after[0]["position"] > items[0]["position"] and after[0]["at"].endswith("+08:00")


class Stream:
    """A live stream being read in a thread."""

    def __init__(self, gateway: Gateway, query: str = "", **headers: str) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.text = ""
        self.ended = threading.Event()
        self.client = gateway.client("drc", Accept="text/event-stream", **headers)
        self.path = f"/events{query}"
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        eventually(lambda: "connected" in self.text)

    def _read(self) -> None:
        try:
            with self.client.stream("GET", self.path, timeout=60) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                for line in answer.iter_lines():
                    self.text += line + "\n"
                    if found := re.search(r"id: (\d+)\nevent: (\w+)\ndata: (.+)\n\n$", self.text):
                        self.events.append((found[1], found[2], json.loads(found[3])))
        except httpx.HTTPError:
            pass
        self.ended.set()


def refer(gateway: Gateway, uscc: str) -> None:
    with gateway.client("scitech", **{"Riskpool-Time": "2026-01-21"}) as client:
        assert client.post(URL, json=enterprise(uscc=uscc)).status_code == 200


def test_the_live_stream_tells_new_events_and_goes_on_where_it_was_cut(signed: Gateway) -> None:
    live = Stream(signed, "?type=EnterpriseReferred")
    refer(signed, "91131121MA09JK45XA")
    eventually(lambda: len(live.events) == 1)
    position, name, event = live.events[0]
    assert (name, event["about"], str(event["position"])) == ("EnterpriseReferred", "91131121MA09JK45XA", position)
    resumed = Stream(signed, "?type=EnterpriseReferred", **{"Last-Event-ID": str(int(position) - 1)})
    eventually(lambda: len(resumed.events) == 1)
    assert resumed.events[0][2] == event
    with signed.client("drc", Accept="text/event-stream") as client:
        problem(client.get("/events", headers={"Last-Event-ID": "x"}), 422, "malformed")


def test_the_api_describes_every_command_and_its_pages_load_nothing_from_outside(signed: Gateway) -> None:
    document = httpx.get(f"{signed.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1") and document["info"]["title"] == "riskpool"
    operations = {one["operationId"]: one for path in document["paths"].values() for one in path.values()}
    assert set(COMMANDS) <= set(operations)
    schema = operations["CastVote"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/CastVote"}
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    for page in ("/docs", "/redoc"):
        html = httpx.get(f"{signed.url}{page}").text
        addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert addresses and all(address.startswith("/") for address in addresses)
        for address in addresses:
            assert httpx.get(f"{signed.url}{address}").status_code == 200


@pytest.fixture
def second(postgres: Postgres, server_directory: Path) -> Iterator[Gateway]:
    """A gateway of its own, with the server's clock, to be stopped by the test."""
    directory = server_directory / "gateway-second"
    directory.mkdir()
    nats = Nats.alone(directory / "nats")
    nats.start()
    running = Gateway(postgres, nats.url, directory, "server", "second", ("gateway",))
    yield running
    running.stop()
    nats.stop()


def test_with_the_servers_clock_nobody_sets_the_time_and_an_open_stream_does_not_delay_the_stop(
    second: Gateway,
) -> None:
    with second.client("drc") as client:
        problem(client.post("/business-day", json={"date": "2026-01-05"}), 422, "clock")
        body = {"uscc": "91110119MA01ABC17J", "reason": "x"}
        late = client.post("/commands/VetoEnterprise", json=body, headers={"Riskpool-Time": "2026-01-05"})
        problem(late, 422, "clock")
        today = str(Clock.now().date())
        eventually(lambda: [e["data"] for e in client.get("/events").json()["items"]] == [{"date": today}])
    live = Stream(second)
    assert second.stop() < 5
    assert live.ended.wait(2)


def test_a_revoked_token_is_refused_at_once(signed: Gateway) -> None:
    async def made_and_revoked() -> str:
        engine = create_async_engine(signed.database_url)
        async with engine.begin() as connection:
            identifier, token = await tokens.create(connection, "yanqing", "drc")
            await tokens.revoke(connection, identifier, Clock.now())
        await engine.dispose()
        return token

    token = asyncio.run(made_and_revoked())
    answer = httpx.get(f"{signed.url}/v1/schemes/yanqing/pool", headers={"Authorization": f"Bearer {token}"})
    problem(answer, 401, "authentication")
