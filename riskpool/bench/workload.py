"""What `riskpool bench` does to a running stack through its public doors, and what must be true afterwards."""

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from riskpool.audit import audit
from riskpool.bench.peers import publish_all
from riskpool.scenario.doors import Answer, HttpDoor, at_nine
from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import READER
from riskpool.stack import Stack
from riskpool.supervisor import StackError
from shared.messaging.nkeys import signing_in
from shared.messaging.provisioning import ingress_stream
from shared.money import format_yuan

SCHEME, CUSTODIAN, FINANCE, EVENT = "yanqing", "custodian", "finance", "IncomeCredited"
DAY = date(2026, 6, 1)
CLIENTS = 16
FIRST_CAPITAL_FEN = 100_000_00
RECEIPTS_WAIT_S = 300.0
SETTLE_WAIT_S = 120.0


class Workload:
    """Load on a stack, and a count of everything it was told and must therefore hold."""

    def __init__(self, stack: Stack, http: HttpDoor, bus: Client) -> None:
        self._stack, self._http, self._bus = stack, http, bus
        self.http = http
        self.js = bus.jetstream()
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.capital_fen = 0
        self.commanded = 0
        self.event_ids: list[str] = []

    @property
    def sent(self) -> int:
        """Commands and events so far."""
        return self.commanded + len(self.event_ids)

    async def prepare(self) -> None:
        """The custodian's agreement, the first capital, and an ear for receipts."""
        agreement = {"institution": CUSTODIAN, "kind": "custodian", "name": "托管银行", "valid_from": "2026-01-01",
                     "valid_to": "2036-12-31", "fee_rate": "0.18"}  # fmt: skip
        _accepted(await self._http.command(READER, "SignAgreement", agreement, DAY, "agreement"))
        await self._inject("inclusive_award", FIRST_CAPITAL_FEN)
        await self._bus.subscribe(f"receipts.{CUSTODIAN}.{SCHEME}.{EVENT}", cb=self._on_receipt)
        await self._until(self._ingress_is_there)
        await self.drained(1)
        await self.settle()

    async def commands(self, seconds: float) -> float:
        """Commands accepted a second: each a request, a decision, its ledger entries, their commit, an answer."""
        count = 0

        async def client() -> None:
            nonlocal count
            while time.perf_counter() < begun + seconds:
                await self._inject("policy_fund", 1)
                count += 1

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return count / (time.perf_counter() - begun)

    async def requests(self, seconds: float) -> float:
        """Requests a second to the gateway's health page: what HTTP and this client cost by themselves."""
        count = 0
        async with httpx.AsyncClient(base_url=self._stack.api_url, timeout=30) as http:

            async def client() -> None:
                nonlocal count
                while time.perf_counter() < begun + seconds:
                    (await http.get("/healthz")).raise_for_status()
                    count += 1

            begun = time.perf_counter()
            await asyncio.gather(*(client() for _ in range(CLIENTS)))
            return count / (time.perf_counter() - begun)

    async def drained(self, events: int) -> float:
        """Partner events a second, from the first publish to the last receipt."""
        payloads = self.payloads(events)
        begun = time.perf_counter()
        receipts = asyncio.gather(*self._waiting.values())
        await publish_all(self.js, f"partners.{CUSTODIAN}.{SCHEME}.{EVENT}", payloads)
        await asyncio.wait_for(receipts, RECEIPTS_WAIT_S)
        return events / (time.perf_counter() - begun)

    async def receipts(self, events: int) -> list[float]:
        """Milliseconds from each publish to its receipt, one event at a time on an idle stack."""
        taken = []
        for _ in range(events):
            payload = self.payloads(1)
            begun = time.perf_counter()
            receipt = next(iter(self._waiting.values()))
            await publish_all(self.js, f"partners.{CUSTODIAN}.{SCHEME}.{EVENT}", payload)
            await asyncio.wait_for(receipt, RECEIPTS_WAIT_S)
            taken.append((time.perf_counter() - begun) * 1000)
        return taken

    async def paced(self, rate: float, seconds: float) -> list[float]:
        """Milliseconds from when each of ``rate`` events a second was due to its receipt, whatever the others take."""
        loop, begun, taken = asyncio.get_running_loop(), time.perf_counter(), list[float]()
        subject, publishing = f"partners.{CUSTODIAN}.{SCHEME}.{EVENT}", set[asyncio.Task[None]]()
        for number in range(round(rate * seconds)):
            due = begun + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            [payload] = self.payloads(1)
            receipt = self._waiting[self.event_ids[-1]]
            receipt.add_done_callback(lambda _, due=due: taken.append((time.perf_counter() - due) * 1000))  # type: ignore[misc]
            task = loop.create_task(publish_all(self.js, subject, [payload]))
            publishing.add(task)
            task.add_done_callback(publishing.discard)
        await asyncio.gather(*publishing)
        await asyncio.wait_for(asyncio.gather(*self._waiting.values()), RECEIPTS_WAIT_S)
        return taken

    def like(self, events: int) -> list[bytes]:
        """So many payloads of the same size, for a peer: never sent to the stack."""
        return [_income(f"bench-{number:06d}") for number in range(events)]

    def payloads(self, events: int) -> list[bytes]:
        """So many reports of 0.01 yuan of income, each of its own; a receipt is then awaited for each."""
        loop, made = asyncio.get_running_loop(), []
        for number in itertools.islice(self._numbers, events):
            event_id = f"bench-{number}"
            self.event_ids.append(event_id)
            self._waiting[event_id] = loop.create_future()
            made.append(_income(event_id))
        return made

    async def settle(self, seconds: float = SETTLE_WAIT_S) -> None:
        """Wait until every consumer has taken everything, so that no figure pays for the one before."""
        await self._until(lambda: self._http.settled(READER), seconds)

    async def faults(self) -> list[str]:
        """What does not agree with what was sent: totals, receipts, states and ledger; nothing, when all is right."""
        await self.settle()
        _, pool = await self._http.read(READER, "/pool")
        _, progress = await self._http.read(READER, "/progress")
        wanted = {"capital": format_yuan(self.capital_fen), "income_total": format_yuan(len(self.event_ids))}
        found = [f"{key} is {pool.get(key)}, sent: {value}" for key, value in wanted.items() if pool.get(key) != value]
        found += [f"{count} messages parked by {name}" for name, count in progress["parked"].items() if count]
        counted = await self._receipts_by_event()
        wrong = {event_id for event_id in self.event_ids if counted.pop((event_id, "accepted"), 0) != 1}
        found += [f"{len(wrong)} events without exactly one receipt that accepts them"] if wrong else []
        found += [f"{len(counted)} receipts of events that were not sent"] if counted else []
        audited = await audit(dict(self._stack.description()["databases"]))
        return found + [f"{one.service}: {difference}" for one in audited for difference in one.differences]

    async def _receipts_by_event(self) -> Counter[tuple[str, str]]:
        """Every receipt of the custodian in the stream, by event id and outcome."""
        subject = f"receipts.{CUSTODIAN}.{SCHEME}.{EVENT}"
        unacknowledged = ConsumerConfig(ack_policy=AckPolicy.NONE)
        subscription = await self.js.pull_subscribe(subject, stream="RECEIPTS", config=unacknowledged)
        counted: Counter[tuple[str, str]] = Counter()
        while pending := (await subscription.consumer_info()).num_pending:
            for message in await subscription.fetch(min(500, pending), timeout=10):
                receipt = json.loads(message.data)["data"]
                counted[receipt["event_id"], receipt["outcome"]] += 1
        return counted

    async def _until(self, holds: Callable[[], Awaitable[bool]], seconds: float = SETTLE_WAIT_S) -> None:
        deadline = time.monotonic() + seconds
        while not await holds():
            if time.monotonic() > deadline:
                raise StackError(f"The stack has not come to rest within {seconds:.0f} s.")
            await asyncio.sleep(0.05)

    async def _ingress_is_there(self) -> bool:
        try:
            await self.js.stream_info(ingress_stream(CUSTODIAN))
        except NotFoundError:
            return False
        return True

    async def _inject(self, source: str, amount_fen: int) -> None:
        key = f"capital-{next(self._numbers)}"
        fields = {"source": source, "amount": format_yuan(amount_fen), "bank_ref": key}
        _accepted(await self._http.command(FINANCE, "InjectCapital", fields, DAY, key))
        self.capital_fen += amount_fen
        self.commanded += 1

    async def _on_receipt(self, message: Msg) -> None:
        waiting = self._waiting.pop(json.loads(message.data)["data"]["event_id"], None)
        if waiting is not None:
            waiting.set_result(None)


@contextlib.asynccontextmanager
async def at_work(stack: Stack) -> AsyncIterator[Workload]:
    """A workload with an open fund on a stack that is ready."""
    tokens = await make_tokens(stack.database_url("gateway"), SCHEME, {READER, FINANCE, CUSTODIAN})
    async with contextlib.AsyncExitStack() as resources:
        http = HttpDoor(stack.api_url, SCHEME, tokens)
        resources.push_async_callback(http.close)
        claim, sign = signing_in(Path(stack.nats_credentials).read_text)
        client = await nats.connect(stack.nats_url.split(","), user_jwt_cb=claim, signature_cb=sign)
        resources.push_async_callback(client.close)
        workload = Workload(stack, http, client)
        await workload.prepare()
        yield workload


def _income(event_id: str) -> bytes:
    event: dict[str, Any] = {
        "specversion": "1.0", "id": event_id, "source": f"/partners/{CUSTODIAN}", "type": f"riskpool.{EVENT}.v1",
        "time": at_nine(DAY), "datacontenttype": "application/json", "scheme": SCHEME,
        "data": {"amount": "0.01", "period": "2026", "bank_ref": event_id},
    }  # fmt: skip
    return json.dumps(event).encode()


def _accepted(answer: Answer) -> None:
    if answer.outcome != "accepted":
        raise StackError(f"A command of the benchmark was {answer.outcome}: {answer.rule} {answer.detail}")
