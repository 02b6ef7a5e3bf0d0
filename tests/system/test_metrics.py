"""After a small story the metrics of every service say exactly what the API says, to who has the token."""

import asyncio
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import nats
import pytest
from prometheus_client.parser import text_string_to_metric_families

from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import run_scenario
from riskpool.services import SERVICES
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start

STORY = Path(__file__).parents[2] / "riskpool" / "scenarios" / "custody.yaml"
SPEAKERS = {"drc", "finance", "custodian", "bank-a"}
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


class House:
    """A stack that a story was played on."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", SPEAKERS))
        self.http = httpx.Client(
            base_url=f"{stack.api_url}/v1/schemes/yanqing",
            headers={"Authorization": f"Bearer {self.tokens('drc')}"},
            timeout=30,
        )

    def scrape(self, service: str, token: str | None = None) -> httpx.Response:
        if token is None:
            token = Path(self.stack.description["metrics_token"]).read_text()
        address = f"{self.stack.description['services'][service]}/metrics"
        return httpx.get(address, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=10)

    def figures(self, service: str) -> Figures:
        answer = self.scrape(service)
        assert answer.status_code == 200, answer.text
        families = list(text_string_to_metric_families(answer.text))
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def read(self, path: str, **query: str) -> dict:
        return self.http.get(path, params=query).raise_for_status().json()

    async def publish(self, subject: str, body: bytes) -> None:
        credentials = self.stack.description["nats_credentials"]
        async with await nats.connect(self.stack.nats_url, user_credentials=credentials) as client:
            await client.jetstream().publish(subject, body)


@pytest.fixture(scope="module")
def house(start_for_module: Start) -> Iterator[House]:
    made = House(start_for_module("metrics", "--free-ports", "--clock", "message").until_ready())
    stack = made.stack
    outcome = asyncio.run(run_scenario(STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=made.tokens))
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    yield made
    made.http.close()


def of(figures: Figures, name: str, /, **labels: str) -> float:
    return figures[name, frozenset(labels.items())]


def fen(amount: str) -> int:
    return int(amount.replace(".", ""))


@pytest.mark.parametrize("service", SERVICES)
def test_only_who_has_the_token_reads_them(house: House, service: str) -> None:
    assert house.scrape(service).status_code == 200
    for wrong in ("", "guessed", house.tokens("drc")):
        answer = house.scrape(service, wrong)
        assert (answer.status_code, "riskpool" in answer.text) == (401, False)


def test_the_fund_is_what_the_api_says(house: House) -> None:
    figures, pool = house.figures("gateway"), house.read("/pool")
    for name, field in (
        ("capital", "capital"), ("balance", "balance"), ("cash", "cash"), ("instructed", "instructed"),
        ("counter", "counter"), ("pause_line", "pause_line"), ("resume_line", "resume_line"),
        ("compensated", "compensated_gross"), ("recoverable", "recoverable"), ("exposure", "exposure"),
        ("held", "held_total"),
    ):  # fmt: skip
        assert of(figures, f"riskpool_fund_{name}_fen", scheme="yanqing") == fen(pool[field]), name
    assert of(figures, "riskpool_fund_balance_fen", scheme="yanqing") == 3_003_200_002
    assert of(figures, "riskpool_fund_paused", scheme="yanqing") == 0
    until_pause = of(figures, "riskpool_fund_until_pause_fen", scheme="yanqing")
    assert until_pause == fen(pool["pause_line"]) - fen(pool["counter"])
    above = of(figures, "riskpool_fund_above_resume_line_fen", scheme="yanqing")
    assert above == fen(pool["balance"]) - fen(pool["resume_line"])
    # the last statement of the story is two fen short
    assert of(figures, "riskpool_fund_reconciliation_difference_fen", scheme="yanqing") == -2


def test_duties_and_transfers_are_what_the_api_says(house: House) -> None:
    figures = house.figures("gateway")
    duties = house.read("/obligations")["items"]
    overdue = {kind: 0 for kind in {one["kind"] for one in duties}}
    for one in duties:
        overdue[one["kind"]] += one["state"] == "overdue"
    assert sum(overdue.values()) > 0
    for kind, number in overdue.items():
        assert of(figures, "riskpool_obligations_overdue", scheme="yanqing", kind=kind) == number
    for status in ("instructed", "settled", "returned"):
        transfers = house.read("/disbursements", status=status)["items"]
        assert of(figures, "riskpool_transfers", scheme="yanqing", status=status) == len(transfers)
    assert of(figures, "riskpool_fund_held_payouts", scheme="yanqing", reason="paused") == 0


def test_every_message_is_counted_once_with_its_outcome(house: House) -> None:
    pool, gateway = house.figures("pool"), house.figures("gateway")

    def messages(kind: str, name: str, outcome: str) -> float:
        return of(pool, "riskpool_messages_total", kind=kind, name=name, outcome=outcome)

    # as the story tells: three bookings, one of them reported again, one by a bank; four fee approvals, three refused
    assert [messages("partner", "IncomeCredited", how) for how in ("accepted", "duplicate", "refused")] == [3, 1, 1]
    assert messages("partner", "StatementIssued", "accepted") == 2
    assert [messages("command", "ApproveFee", how) for how in ("200", "409")] == [4, 3]
    assert of(pool, "riskpool_command_seconds_count", name="ApproveFee") == 7
    days = (date(2028, 1, 12) - date(2026, 1, 5)).days + 1
    assert messages("event", "BusinessDayStarted", "taken") == days
    assert of(gateway, "riskpool_messages_total", kind="event", name="BusinessDayStarted", outcome="taken") == days
    assert of(gateway, "riskpool_handling_seconds_count", kind="receipt") > 0


def test_what_is_unread_parked_or_behind_is_seen(house: House) -> None:
    for service in SERVICES:
        figures = house.figures(service)
        assert [of(figures, f"riskpool_{n}") for n in ("ready", "outbox_unpublished", "parked_messages")] == [1, 0, 0]
        assert of(figures, "riskpool_parked_bytes") > 0
        assert of(figures, "riskpool_figures_fresh", reading="messages") == 1
        lag = ("riskpool_consumer_lag_messages", frozenset({("stream", "EVENTS")}))  # as of a look every few seconds
        eventually(lambda name=service, lag=lag: house.figures(name)[lag] == 0)
        limit = of(figures, "riskpool_database_connections_limit", pool="writes")
        states = ("idle", "in_use")
        open_now = sum(of(figures, "riskpool_database_connections", pool="writes", state=state) for state in states)
        assert 0 < open_now <= limit == 10
    asyncio.run(house.publish("events.yanqing.review.EnterpriseRated", b"no JSON"))
    eventually(lambda: of(house.figures("gateway"), "riskpool_parked_messages") == 1)
    labels = {"kind": "event", "name": "unknown", "outcome": "parked"}
    eventually(lambda: ("riskpool_messages_total", frozenset(labels.items())) in house.figures("gateway"))
    assert of(house.figures("gateway"), "riskpool_messages_total", **labels) == 1
