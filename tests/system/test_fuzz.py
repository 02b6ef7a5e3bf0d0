"""Whatever a partner's system sends over the real bus is answered exactly once and stops nobody.

``FUZZ`` says how many events, ``SEED`` which; ``make chaos`` sends a hundred thousand.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import nats
import pytest

from riskpool.partners.client import PartnerClient
from riskpool.scenario.embedded import make_tokens
from shared.contracts.registry import PARTNER_EVENTS, SERVICES
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start

FUZZ = int(os.environ.get("FUZZ", "1000"))
SEED = int(os.environ.get("SEED", "1"))
AT_ONCE = 100
GOOD = {
    "uscc": "91110119MA01ABC17J", "reason": "抵押不足", "purpose": "recovery", "loan_no": "L-1", "amount": "100.00",
    "bank_ref": "B-1", "received_on": "2026-03-02", "period": "2026Q1", "classified": "loss", "product": "bank",
    "classified_on": "2026-03-02", "outstanding_principal": "100.00", "evidence": ["notice"], "principal": "100.00",
    "recovery_statements": ["call"], "annual_rate": "0.0385", "disbursed_on": "2026-03-02", "matures_on": "2027-03-02",
    "repaid_on": "2026-03-02", "policy_no": "P-1", "premium": "100.00", "paid_on": "2026-03-02", "documents": ["d"],
    "valid_to": "2027-03-02", "collected_on": "2026-03-02", "costs": "1.00", "as_of": "2026-06-30", "balance": "0.00",
    "disbursement_id": "D-1", "settled_on": "2026-03-02", "ground": "bankruptcy", "ruling_no": "R-1",
    "ruled_on": "2026-03-02", "guarantor": None, "insurer": None, "guarantor_share": None,
}  # fmt: skip
NASTY = (
    None, -1, 0, 2**63, 1e308, 10**400, "", " ", "NaN", "-0.00", "1e9", "0x10", "9" * 400, "99999-01-01", "2026-02-30",
    "'; drop table events; --", "=cmd|' /C calc'!A0", "@SUM(1)", "<script>alert(1)</script>", "{{7*7}}", "../../etc/x",
    "\u0000", "\u202e", "\ud800", "💣" * 50, "\r\nNats-Msg-Id: x", [], {}, [[[[]]]], {"a": {"b": [1]}}, "x" * 5000,
)  # fmt: skip
NO_IDS = ("", "\u0000", "\r\n", "x" * 300, 7, None, ["id"], {"id": 1})
ENVELOPE = ("specversion", "source", "type", "time", "subject", "scheme", "correlationid", "datacontenttype", "data")


class Fuzzer:
    """Events of every kind, wrong in every way, each with an id of its own where it has one."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def nasty(self) -> Any:
        return self.random.choice([*NASTY, *GOOD.values()])

    def data(self, name: str) -> dict[str, Any]:
        """What the contract wants, with up to three fields spoiled, left out or added."""
        data = {field: GOOD[field] for field in PARTNER_EVENTS[name].model_fields}
        for field in self.random.choices([*data, "unknown"], k=self.random.randrange(4)):
            data[field] = self.nasty()
            if self.random.random() < 0.1:
                del data[field]
        return data

    def event(self) -> tuple[str, bytes]:
        """The name in the subject, and the bytes."""
        name = self.random.choice([*PARTNER_EVENTS, "NoSuchEvent"])
        identifier = str(UUID(int=self.random.getrandbits(128), version=4))
        told: dict[str, Any] = {
            "specversion": "1.0", "id": identifier, "source": "/partners/fuzzer", "type": f"riskpool.{name}.v1",
            "time": "2026-03-02T09:00:00+08:00", "data": self.data(name) if name in PARTNER_EVENTS else {},
        }  # fmt: skip
        roll = self.random.random()
        if roll < 0.1:
            told[self.random.choice(ENVELOPE)] = self.nasty()
        elif roll < 0.15:
            told.pop(self.random.choice(ENVELOPE), None)
        elif roll < 0.18:
            told["id"] = self.random.choice([*NO_IDS, f"'; drop table receipts; -- .*.> {identifier}"])
        return name, self.bytes(json.dumps(told).encode())

    def bytes(self, body: bytes) -> bytes:
        """The body as it is, or cut, changed, deep, large or no JSON at all."""
        match self.random.randrange(60):
            case 0:
                return body[: self.random.randrange(len(body))]
            case 1:
                place = self.random.randrange(len(body))
                return body[:place] + self.random.randbytes(3) + body[place + 1 :]
            case 2:
                return self.random.randbytes(self.random.randrange(300))
            case 3:
                return b'{"data":' + b"[" * 20_000
            case 4 if self.random.random() < 0.02:
                return body[:-1] + b',"more":"' + b"x" * 250_000 + b'"}'
        return body


async def rows(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def last_of(stack: RunningStack, stream: str) -> int:
    """How many messages a stream has taken."""
    credentials = stack.description["nats_credentials"]
    async with await nats.connect(stack.nats_url, user_credentials=credentials) as client:
        return (await client.jetstream(timeout=10).stream_info(stream)).state.last_seq


@pytest.mark.timeout(3600)
async def test_no_event_stops_a_consumer_and_each_has_one_receipt(start: Start) -> None:
    stack = start("fuzz", "--free-ports", "--clock", "message").until_ready()
    tokens = await make_tokens(stack.database_url("gateway"), "yanqing", {"drc"})
    drc = httpx.Client(
        base_url=f"{stack.api_url}/v1/schemes/yanqing", headers={"Authorization": f"Bearer {tokens('drc')}"}, timeout=30
    )
    agreement = {"institution": "fuzzer", "kind": "bank", "name": "Fuzzer", "valid_from": "2026-01-01",
                 "valid_to": "2028-12-31", "products": ["bank"]}  # fmt: skip
    drc.post("/commands/SignAgreement", json=agreement, headers={"Riskpool-Time": "2026-01-05"}).raise_for_status()

    def settled() -> bool:
        return bool(drc.get("/progress").json()["settled"])

    await asyncio.to_thread(eventually, settled, 30)
    issued = drc.post("/institutions/fuzzer/bus-credentials", json={}).raise_for_status().json()
    client = await PartnerClient.connect(stack.nats_url, lambda: str(issued["credentials"]))

    fuzzer, free = Fuzzer(SEED), asyncio.Semaphore(AT_ONCE)

    async def send(name: str, body: bytes) -> None:
        async with free:
            await client.publish("yanqing", name, body)

    for _ in range(0, FUZZ, 1000):
        await asyncio.gather(*(send(*fuzzer.event()) for _ in range(min(1000, FUZZ))))
    sent = len(range(0, FUZZ, 1000)) * min(1000, FUZZ)

    await asyncio.to_thread(eventually, settled, 60 + sent / 50)
    good = {"specversion": "1.0", "id": "afterwards", "source": "/partners/fuzzer", "time": "2026-03-03T09:00:00+08:00",
            "type": "riskpool.LoanRepaid.v1",
            "data": {key: GOOD[key] for key in ("loan_no", "principal", "repaid_on")}}  # fmt: skip
    await client.publish("yanqing", "LoanRepaid", json.dumps(good).encode())
    await asyncio.to_thread(eventually, lambda: drc.get("/receipts/afterwards?institution=fuzzer").status_code == 200)
    await client.close()

    announced = [
        json.loads(row["payload"])["data"]
        for service in SERVICES
        for row in await rows(stack.database_url(service), "select payload from outbox where stream = 'RECEIPTS'")
    ]
    answered = [one["event_id"] for one in announced]
    kept = await rows(stack.database_url("gateway"), "select event_id, outcome from receipts")
    assert len(answered) == len(set(answered)) and set(answered) == {row["event_id"] for row in kept}
    # What the bus did not confirm in time was published again: without an id that can be read, it is another event.
    stored = await last_of(stack, "PARTNER_fuzzer")
    assert sent + 1 <= len(answered) <= stored
    outcomes = Counter(one["outcome"] for one in announced)
    parked = [row for service in SERVICES for row in await rows(stack.database_url(service), "select 1 from parked")]
    assert len(parked) == outcomes["unreadable"] > 0
    assert stack.description["restarts"] == dict.fromkeys(stack.description["restarts"], 0)
    logs = "".join(log.read_text(errors="replace") for log in (stack.data / "logs").glob("*.log"))
    assert "looked in vain" not in logs and "iolation" not in logs
    command = [sys.executable, "-m", "riskpool", "audit", "--data", str(stack.data)]
    audit = subprocess.run(command, capture_output=True, text=True, check=False)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    print(f"\nSEED={SEED}: {sent} events, stored {stored}, {len(answered)} receipts, {dict(outcomes)}")
