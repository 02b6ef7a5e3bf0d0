"""How the cause of each alert is made on a real stack; what was made is undone at the end."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg

from tests.conftest import eventually
from tests.monitoring.alarms import ALERTS, SCHEME, Alarmed

# 20.6 of 21 million are counted, and 9.4 million left
NEAR = """
  - {on: 2026-01-05, play: open-fund, with: {banks: [bank-a, bank-b, bank-c]}}
  - {on: 2026-01-12, play: lend-high, with: {uscc: "${uscc:1}", bank: bank-a, loan_no: L-1, principal: "20600000.00"}}
  - {on: 2026-01-12, play: lend-high, with: {uscc: "${uscc:2}", bank: bank-b, loan_no: L-2, principal: "1000000.00"}}
  - {on: 2026-01-12, play: lend-high, with: {uscc: "${uscc:3}", bank: bank-c, loan_no: L-3, principal: "5400000.00"}}
  - {on: 2026-03-02, by: bank-a, do: LoanDefaulted, with: {loan_no: L-1, outstanding_principal: "20600000.00"}}
  - {on: 2026-07-01, play: pay-batch, with: {half: 2026H1, claims: [{loan_no: L-1, bank: bank-a}]}}
"""
# the next claim crosses the line; then a share is not remitted, a claim not looked at, and a statement wrong
PAUSED = """
  - {on: 2026-09-01, by: bank-b, do: LoanDefaulted, with: {loan_no: L-2, outstanding_principal: "1000000.00"}}
  - {by: bank-c, do: LoanDefaulted, with: {loan_no: L-3, outstanding_principal: "5400000.00"}}
  - {on: 2027-01-04, by: drc, do: OpenClaimBatch, with: {half: 2026H2}}
  - {play: verify, with: {loan_no: L-2, bank: bank-b}}
  - {by: bank-a, do: RecoveryCollected, with: {loan_no: L-1, amount: "1000000.00"}}
  - {on: 2027-03-01, by: custodian, do: StatementIssued, with: {as_of: 2027-02-28, balance: "1.00"}}
"""
HELD = """
  - {on: 2027-03-02, play: verify, with: {loan_no: L-3, bank: bank-c}}
  - {by: drc, do: SubmitClaimBatch, with: {half: 2026H2}}
  - {by: government, do: ConsentClaimBatch, with: {half: 2026H2, decision: consent, document_no: 函}}
  - {by: drc, do: IssuePayoutNotice, with: {notice_no: 号, reason: 拨付}}
"""


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def near(at: Alarmed) -> Iterator[None]:
    at.play(NEAR)
    yield


@contextlib.contextmanager
def paused(at: Alarmed) -> Iterator[None]:
    at.play(PAUSED)
    yield


@contextlib.contextmanager
def held(at: Alarmed) -> Iterator[None]:
    at.play(HELD)
    yield


@contextlib.contextmanager
def nothing_more(at: Alarmed) -> Iterator[None]:
    """The cause was made by what is above it."""
    yield


@contextlib.contextmanager
def unreadable(at: Alarmed) -> Iterator[None]:
    """A hundred and twenty messages of a bank that nobody can read, and an account in which it fetches no receipt."""
    command = [sys.executable, "-m", "riskpool", "partner", "add", "bank-a", "--scheme", SCHEME, "--data"]
    subprocess.run([*command, str(at.house.stack.data)], check=True, capture_output=True)

    async def send(js: Any) -> None:
        for number in range(120):
            await js.publish(f"partners.bank-a.{SCHEME}.LoanRepaid", b"no JSON %d" % number)

    at.house.on_the_bus(send)
    yield


@contextlib.contextmanager
def not_taken(at: Alarmed) -> Iterator[None]:
    """A hundred and fifty messages of a partner that nobody takes, in a stream that is small."""

    async def send(js: Any) -> None:
        await js.add_stream(name="PARTNER_bank-z", subjects=["partners.bank-z.>"], max_bytes=100_000)
        await js.add_consumer("PARTNER_bank-z", durable_name="review", ack_policy="explicit")
        for _ in range(150):
            await js.publish(f"partners.bank-z.{SCHEME}.LoanRepaid", b"x" * 500)

    at.house.on_the_bus(send)
    try:
        yield
    finally:
        at.house.on_the_bus(lambda js: js.delete_stream("PARTNER_bank-z"))


@contextlib.contextmanager
def failing(at: Alarmed) -> Iterator[None]:
    """A command whose answer cannot be kept."""

    async def refuse(connection: asyncpg.Connection) -> None:
        await connection.execute("revoke insert on answers from pool")

    async def grant(connection: asyncpg.Connection) -> None:
        await connection.execute("grant insert on answers to pool")

    at.sql("pool", refuse)
    try:
        assert at.command("ApproveFee", "finance", {"year": 2026, "rate": "0.18"}) >= 500
        yield
    finally:
        at.sql("pool", grant)


@contextlib.contextmanager
def slow(at: Alarmed) -> Iterator[None]:
    """Commands that wait four seconds for a lock."""
    with ThreadPoolExecutor() as clerks:
        asked = []

        def ask() -> None:
            fee = {"year": 2026, "rate": "0.18"}
            asked.extend(clerks.submit(at.command, "ApproveFee", "finance", fee) for _ in range(3))
            time.sleep(4)

        at.locked("pool", "answers", ask)
        assert all(one.result() < 500 for one in asked)
        yield


@contextlib.contextmanager
def given_again(at: Alarmed) -> Iterator[None]:
    """The pool's database is away while a hundred and fifty events come for it, which it gives back again and again."""

    async def shut(connection: asyncpg.Connection) -> None:
        await connection.execute("alter database pool with allow_connections false")
        await connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'pool'")

    async def open_again(connection: asyncpg.Connection) -> None:
        await connection.execute("alter database pool with allow_connections true")

    at.sql("postgres", shut)
    try:
        at.announce("2027-08-01")
        yield
    finally:
        at.sql("postgres", open_again)


@contextlib.contextmanager
def readers_blocked(at: Alarmed) -> Iterator[None]:
    """Fourteen readers of a table that is locked: the pool of connections is used up, and so is a scrape's patience."""

    def read() -> int:
        with at.house.http("drc") as http:
            return http.get("/disbursements").status_code

    with ThreadPoolExecutor(14) as readers:
        asked = []

        def ask() -> None:
            asked.extend(readers.submit(read) for _ in range(14))
            for alert in ("RiskpoolDatabasePoolFull", "RiskpoolFiguresUnread"):
                at.until_told(alert, 25)

        at.locked("gateway", "disbursements", ask)
        yield


@contextlib.contextmanager
def restarts(at: Alarmed) -> Iterator[None]:
    """A service killed twice, the second time when the first start has been seen by the alert's own expression."""
    changes = ALERTS["RiskpoolServiceRestarts"]["expr"].removesuffix(">= 2")

    def seen(starts: int) -> bool:
        return any(one["metric"]["service"] == "review" for one in at.prometheus.value(f"{changes} >= {starts}"))

    for starts in (1, 2):
        at.house.stack.kill("review")
        eventually(lambda starts=starts: seen(starts), 90)
    yield


@contextlib.contextmanager
def stopped_service(at: Alarmed) -> Iterator[None]:
    """A service that hangs while six hundred days pass."""
    with _stopped(at.pid("recovery")):
        at.announce("2029-04-01")
        yield


@contextlib.contextmanager
def another_relay(at: Alarmed) -> Iterator[None]:
    """Somebody holds the lock of the gateway's relay, and does not relay."""
    let_go = threading.Event()
    mine = "select pid from pg_locks where locktype = 'advisory' and objid = 7001 and granted"

    async def hold(connection: asyncpg.Connection) -> None:
        await connection.execute("select pg_advisory_lock(7001)")
        await asyncio.to_thread(let_go.wait)

    async def end(connection: asyncpg.Connection) -> None:
        await asyncio.sleep(1)
        await connection.execute(f"select pg_terminate_backend(pid) from ({mine}) holder")

    thread = threading.Thread(target=at.sql, args=("gateway", hold))
    thread.start()
    try:
        at.sql("gateway", end)
        at.announce("2029-04-02")
        yield
    finally:
        let_go.set()
        thread.join()


@contextlib.contextmanager
def damaged_document(at: Alarmed) -> Iterator[None]:
    """A backup that found a document whose content is not what its name says."""
    name = "0" * 64
    document = at.house.stack.data / "documents" / name[:2] / name
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_bytes(b"damaged")
    command = [sys.executable, "-m", "riskpool", "backup", str(at.directory / "damaged.backup"), "--data"]
    try:
        done = subprocess.run([*command, str(at.house.stack.data)], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "damaged" in done.stderr, done.stderr
        yield
    finally:
        document.unlink()


@contextlib.contextmanager
def stopped_bus(at: Alarmed) -> Iterator[None]:
    """A bus that hangs."""
    with _stopped(at.pid("nats")):
        yield


@contextlib.contextmanager
def stopped_exporter(at: Alarmed) -> Iterator[None]:
    """An exporter that hangs."""
    with _stopped(at.house.exporter.process.pid):
        yield


# In this order: what is made first holds for those that follow it.
CAUSES: dict[str, Callable[[Alarmed], contextlib.AbstractContextManager[None]]] = {
    "RiskpoolFundNearPauseLine": near,
    "RiskpoolFundBalanceLow": nothing_more,
    "RiskpoolBusinessDayMissing": nothing_more,
    "RiskpoolStatementDiffers": paused,
    "RiskpoolClaimWaits": nothing_more,
    "RiskpoolRemittanceOverdue": nothing_more,
    "RiskpoolObligationOverdue": nothing_more,
    "RiskpoolFundPaused": held,
    "RiskpoolPayoutsHeld": nothing_more,
    "RiskpoolUpkeepOverdue": nothing_more,
    "RiskpoolUpkeepFailed": damaged_document,
    "RiskpoolMessagesParked": unreadable,
    "RiskpoolReceiptsWaiting": nothing_more,
    "RiskpoolStreamFilling": not_taken,
    "RiskpoolPartnerBacklog": not_taken,
    "RiskpoolCommandsFail": failing,
    "RiskpoolCommandsSlow": slow,
    "RiskpoolRedeliveries": given_again,
    "RiskpoolDatabasePoolFull": readers_blocked,
    "RiskpoolFiguresUnread": nothing_more,
    "RiskpoolServiceRestarts": restarts,
    "RiskpoolServiceDown": stopped_service,
    "RiskpoolConsumerBehind": stopped_service,
    "RiskpoolOutboxStuck": another_relay,
    "RiskpoolBusDown": stopped_bus,
    "RiskpoolExporterDown": stopped_exporter,
    "RiskpoolServiceNotReady": stopped_bus,
}
