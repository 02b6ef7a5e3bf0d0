"""Who may do what on the bus: a partner only its own part, a service only its own events, a stranger nothing."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest
from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig

from riskpool.scenario.embedded import make_tokens
from riskpool.services import SERVICES
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start

AT = "2026-02-02T09:00:00+08:00"
ANOTHER = Path(__file__).parents[2] / "riskpool" / "scenarios" / "schemes" / "stop-loss.toml"
PARTNERS = {"bank-x": "bank", "bank-y": "bank", "keeper": "custodian"}


class House:
    """A stack with agreements, and the commission's way in."""

    def __init__(self, stack: RunningStack, commission: httpx.Client) -> None:
        self.stack, self.commission = stack, commission

    def issue(self, institution: str, **wish: Any) -> dict[str, Any]:
        answer = self.commission.post(f"/institutions/{institution}/bus-credentials", json=wish)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def accounts(self) -> dict[str, str]:
        found = {}
        for institution in PARTNERS:
            for one in self.commission.get(f"/institutions/{institution}/bus-credentials").json()["items"]:
                found[institution] = one["account"]
        return found

    async def as_operator(self) -> Client:
        return await nats.connect(
            self.stack.nats_url, user_credentials=self.stack.description["nats_credentials"], connect_timeout=5
        )


@pytest.fixture(scope="module")
def house(start_for_module: Start) -> Iterator[House]:
    two = ("--scheme", "yanqing", "--scheme", str(ANOTHER))
    stack = start_for_module("access", "--free-ports", "--clock", "message", *two).until_ready()
    tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", {"drc", "bank-x"}))
    headers = {"Authorization": f"Bearer {tokens('drc')}", "Riskpool-Time": AT}
    with httpx.Client(base_url=f"{stack.api_url}/v1/schemes/yanqing", headers=headers, timeout=30) as commission:
        for institution, kind in PARTNERS.items():
            sign(commission, institution, kind)
        eventually(lambda: len(commission.get("/institutions").json()["items"]) == len(PARTNERS))
        yield House(stack, commission)


def sign(commission: httpx.Client, institution: str, kind: str) -> None:
    agreement = {"institution": institution, "kind": kind, "name": institution, "valid_from": "2026-01-01",
                 "valid_to": "2028-12-31", "products": ["bank"] if kind == "bank" else []}  # fmt: skip
    answer = commission.post("/commands/SignAgreement", json=agreement)
    assert answer.status_code == 200, answer.text


@contextlib.asynccontextmanager
async def client(
    stack: RunningStack, credentials: str, errors: list[str] | None = None, inbox: str = "_INBOX"
) -> AsyncIterator[Client]:
    """A partner's connection; what the server refuses is kept in ``errors``."""

    async def refused(error: Exception) -> None:
        if errors is not None:
            errors.append(str(error).lower())

    connected = await nats.connect(
        stack.nats_url, user_credentials=RawCredentials(credentials), error_cb=refused, max_reconnect_attempts=2,
        reconnect_time_wait=0.1, connect_timeout=5, inbox_prefix=inbox.encode(),
    )  # fmt: skip
    try:
        yield connected
    finally:
        await connected.close()


def event(institution: str, name: str = "StatementIssued", **data: str) -> tuple[str, bytes]:
    identifier = str(uuid4())
    told = {"specversion": "1.0", "id": identifier, "source": f"/partners/{institution}", "time": AT,
            "type": f"riskpool.{name}.v1", "scheme": "yanqing", "data": data}  # fmt: skip
    return identifier, json.dumps(told).encode()


async def next_receipt(partner: Client) -> dict[str, Any]:
    """What `rcpt.next` gives, acknowledged."""
    inbox = partner.new_inbox()
    taken = await partner.subscribe(inbox)
    await partner.publish("rcpt.next", json.dumps({"batch": 1, "expires": 15 * 10**9}).encode(), reply=inbox)
    message = await taken.next_msg(timeout=20)
    await partner.publish(message.reply, b"+ACK")
    await taken.unsubscribe()
    return dict(json.loads(message.data)["data"])


async def test_a_partner_publishes_and_fetches_its_receipt(house: House) -> None:
    async with client(house.stack, house.issue("keeper")["credentials"]) as keeper:
        identifier, body = event("keeper", as_of="2026-02-01", balance="0.00")
        acknowledged = await keeper.jetstream().publish("submit.yanqing.StatementIssued", body)
        assert acknowledged.stream == "PARTNER_keeper"
        assert await next_receipt(keeper) | {"at": ""} == {"event_id": identifier, "outcome": "accepted", "at": ""}


async def test_what_a_partner_submits_is_stored_under_its_institution_and_what_nobody_knows_gets_its_receipt(
    house: House,
) -> None:
    async with client(house.stack, house.issue("bank-x")["credentials"]) as bank:
        stored = await bank.jetstream().publish("submit.yanqing.NobodyKnowsThis", b"\xff not JSON")
        assert (await next_receipt(bank))["outcome"] == "unreadable"
    operator = await house.as_operator()
    kept = await operator.jetstream().get_msg("PARTNER_bank-x", stored.seq)
    await operator.close()
    assert kept.subject == "partners.bank-x.yanqing.NobodyKnowsThis"


async def test_an_id_is_an_institutions_own_in_each_scheme(house: House) -> None:
    """Two districts' custodians count alike, and are not the same."""
    tokens = await make_tokens(house.stack.database_url("gateway"), "stop-loss", {"drc"})
    headers = {"Authorization": f"Bearer {tokens('drc')}", "Riskpool-Time": AT}
    identifier, body = event("keeper", as_of="2026-02-02", balance="0.00")
    with httpx.Client(base_url=f"{house.stack.api_url}/v1/schemes/stop-loss", headers=headers, timeout=30) as other:
        sign(other, "keeper", "custodian")
        await asyncio.to_thread(eventually, lambda: bool(other.get("/institutions").json()["items"]))
        for one, scheme in ((house, "yanqing"), (House(house.stack, other), "stop-loss")):
            async with client(house.stack, one.issue("keeper", rotate=True)["credentials"]) as keeper:
                told = body.replace(b'"yanqing"', f'"{scheme}"'.encode())
                header = {"Nats-Msg-Id": identifier}
                await asyncio.sleep(0.2)  # within a tenth of a second the bus itself drops the same header
                await keeper.jetstream().publish(f"submit.{scheme}.StatementIssued", told, headers=header)
                receipt = await next_receipt(keeper)
                assert (receipt["event_id"], receipt["outcome"]) == (identifier, "accepted"), scheme


async def test_an_id_that_one_service_has_taken_is_taken_for_all(house: House) -> None:
    identifier, repaid = event("bank-x", "LoanRepaid", loan_no="L", principal="1.00", repaid_on="2026-02-02")
    collected = event("bank-x", "RecoveryCollected", loan_no="L", amount="1.00", collected_on="2026-02-02")[1]
    collected = json.dumps({**json.loads(collected), "id": identifier}).encode()
    async with client(house.stack, house.issue("bank-x", rotate=True)["credentials"]) as bank:
        await bank.jetstream().publish("submit.yanqing.LoanRepaid", repaid)
        assert (await next_receipt(bank))["event_id"] == identifier
        await bank.jetstream().publish("submit.yanqing.RecoveryCollected", collected)
        later, body = event("bank-x", "RecoveryCollected", loan_no="L", amount="2.00", collected_on="2026-02-02")
        await bank.jetstream().publish("submit.yanqing.RecoveryCollected", body)
        assert (await next_receipt(bank))["event_id"] == later
    url = house.stack.description["owner_database"].format(service="recovery").replace("+asyncpg", "")
    database = await asyncpg.connect(url, ssl=False)
    error = await database.fetchval("select error from parked where message_id = $1", identifier)
    await database.close()
    assert "used before with another body" in error


async def test_an_event_has_256_kib_at_most(house: House) -> None:
    async with client(house.stack, house.issue("bank-x", rotate=True)["credentials"]) as bank:
        stored = await bank.jetstream().publish("submit.yanqing.LoanRepaid", b"x" * 262_000)
        with pytest.raises((NatsError, TimeoutError)):
            await bank.request("submit.yanqing.LoanRepaid", b"x" * 263_000, timeout=1)
    operator = await house.as_operator()
    assert (await operator.jetstream().stream_info("PARTNER_bank-x")).state.last_seq == stored.seq
    await operator.close()


FORBIDDEN: dict[str, str] = {
    "another institution's ingress": "partners.bank-y.yanqing.LoanRepaid",
    "another institution's account": "partners.{bank-y}.yanqing.LoanRepaid",
    "another scheme": "submit.other.LoanRepaid",
    "a subject that is no event's": "submit.yanqing.a.b",
    "an event of a service": "events.yanqing.pool.CompensationInstructed",
    "a receipt": "receipts.bank-x.yanqing.LoanRepaid",
    "a command": "commands.yanqing.pool.InjectCapital",
    "another's receipts": "$JS.API.CONSUMER.MSG.NEXT.RECEIPTS.{bank-y}",
    "a service's consumer": "$JS.API.CONSUMER.MSG.NEXT.EVENTS.pool",
    "an acknowledgement of a service": "$JS.ACK.EVENTS.pool.1.1.1.1.0",
    "the list of streams": "$JS.API.STREAM.NAMES",
    "a stream's messages": "$JS.API.STREAM.MSG.GET.EVENTS",
    "a stream's end": "$JS.API.STREAM.DELETE.EVENTS",
    "a stream's purge": "$JS.API.STREAM.PURGE.PARTNER_bank-y",
    "a consumer's making": "$JS.API.CONSUMER.CREATE.RECEIPTS.mine",
    "a consumer's end": "$JS.API.CONSUMER.DELETE.EVENTS.pool",
    "an account's change": "$SYS.REQ.CLAIMS.UPDATE",
    "the server's state": "$SYS.REQ.SERVER.PING",
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_a_partner_may_not_reach(house: House, what: str) -> None:
    house.issue("bank-y", rotate=True)
    subject, errors = FORBIDDEN[what], list[str]()
    for institution, account in house.accounts().items():
        subject = subject.replace(f"{{{institution}}}", account)
    operator = await house.as_operator()
    before = {one.config.name: one.state.last_seq for one in await operator.jetstream().streams_info()}
    async with client(house.stack, house.issue("bank-x", rotate=True)["credentials"], errors) as bank:
        with pytest.raises((NatsError, TimeoutError)):
            await bank.request(subject, b"{}", timeout=0.5)
    assert any("permissions violation for publish" in one for one in errors), errors
    after = {one.config.name: one.state.last_seq for one in await operator.jetstream().streams_info()}
    await operator.close()
    assert after == before


@pytest.mark.parametrize("subject", [">", "events.>", "receipts.>", "partners.>", "commands.>", "_INBOX_pool.>"])
async def test_a_partner_may_not_listen_to(house: House, subject: str) -> None:
    errors = list[str]()
    async with client(house.stack, house.issue("bank-x", rotate=True)["credentials"], errors) as bank:
        heard = await bank.subscribe(subject)
        await bank.flush()
        await asyncio.sleep(0.1)
        assert any("permissions violation for subscription" in one for one in errors), errors
        assert not heard.pending_msgs


async def test_another_partners_message_does_not_vanish_behind_an_id_that_was_used_before(house: House) -> None:
    one, other = (house.issue(name, rotate=True)["credentials"] for name in ("bank-x", "bank-y"))
    async with client(house.stack, one) as first, client(house.stack, other) as second:
        header = {"Nats-Msg-Id": "the-same-for-both"}
        await first.jetstream().publish("submit.yanqing.LoanRepaid", b"{}", headers=header)
        stored = await second.jetstream().publish("submit.yanqing.LoanRepaid", b"{}", headers=header)
        assert stored.stream == "PARTNER_bank-y" and not stored.duplicate


@pytest.mark.parametrize("reply", ["events.yanqing.pool.PoolResumed", "commands.yanqing.pool.InjectCapital"])
async def test_an_answer_cannot_be_aimed_at_a_subject_of_the_house(house: House, reply: str) -> None:
    operator = await house.as_operator()
    before = (await operator.jetstream().stream_info("EVENTS")).state.last_seq
    heard = await operator.subscribe(reply)
    await operator.flush()
    async with client(house.stack, house.issue("bank-x", rotate=True)["credentials"]) as bank:
        await bank.publish("submit.yanqing.LoanRepaid", b"{}", reply=reply)
        await bank.publish("rcpt.next", b'{"batch": 5, "no_wait": true}', reply=reply)
        await bank.flush()
        await asyncio.sleep(0.5)
    assert (await operator.jetstream().stream_info("EVENTS")).state.last_seq == before and not heard.pending_msgs
    await operator.close()


async def test_without_credentials_nobody_is_let_in(house: House) -> None:
    with pytest.raises((NatsError, TimeoutError)):
        await nats.connect(house.stack.nats_url, allow_reconnect=False, max_reconnect_attempts=0, connect_timeout=2)


async def cut_off(house: House, credentials: str, act: Callable[[], Awaitable[None]]) -> float:
    """Seconds from an act until who is connected with these credentials is cut off and may not come back."""
    async with client(house.stack, credentials) as bank:
        assert bank.is_connected
        begun = time.monotonic()
        await act()
        while bank.is_connected and time.monotonic() < begun + 60:
            await asyncio.sleep(0.005)
        took = time.monotonic() - begun
        assert not bank.is_connected
    with pytest.raises((NatsError, TimeoutError, OSError)):
        async with client(house.stack, credentials) as again:
            assert not again.is_connected, "let in again"
            raise NatsError
    return took


async def test_ended_credentials_cut_off_at_once_and_leave_others_alone(house: House) -> None:
    ended, kept, of_another = house.issue("bank-x", rotate=True), house.issue("bank-x"), house.issue("bank-y")

    async def end() -> None:
        answer = await asyncio.to_thread(
            house.commission.delete, f"/institutions/bank-x/bus-credentials/{ended['id']}"
        )
        assert answer.json() == {"ended": [ended["id"]]}

    async with client(house.stack, kept["credentials"]) as one, client(house.stack, of_another["credentials"]) as other:
        await cut_off(house, ended["credentials"], end)
        assert one.is_connected and other.is_connected
        assert (await one.jetstream().publish("submit.yanqing.LoanRepaid", b"{}")).seq


async def test_what_the_bus_is_told_is_read_in_its_turn(house: House) -> None:
    """Else who issues for one system lets in again whom another has just shut out."""
    ended = house.issue("bank-x", rotate=True)
    url = house.stack.description["owner_database"].format(service="gateway").replace("+asyncpg", "")
    database = await asyncpg.connect(url, ssl=False)
    async with database.transaction():
        await database.execute("select pg_advisory_xact_lock(hashtext('bus_credentials'))")
        issuing = asyncio.create_task(asyncio.to_thread(house.issue, "bank-x"))
        while await database.fetchval("select count(*) from bus_credentials where institution = 'bank-x'"
                                      " and revoked_at is null") < 2:  # fmt: skip
            await asyncio.sleep(0.02)
        other = await asyncpg.connect(url, ssl=False)
        await other.execute("update bus_credentials set revoked_at = now() where id = $1", ended["id"])
        await other.close()
    await issuing
    await database.close()
    with pytest.raises((NatsError, TimeoutError, OSError)):
        async with client(house.stack, ended["credentials"]) as again:
            assert not again.is_connected, "let in again"
            raise NatsError


async def test_an_institution_has_ten_credentials_and_twenty_connections_at_most(house: House) -> None:
    issued = [house.issue("keeper", rotate=True), *(house.issue("keeper") for _ in range(9))]
    one_more = house.commission.post("/institutions/keeper/bus-credentials", json={})
    assert (one_more.status_code, one_more.json()["rule"]) == (409, "bus")
    async with contextlib.AsyncExitStack() as open_ones:
        for number in range(20):
            await open_ones.enter_async_context(client(house.stack, issued[number % 10]["credentials"]))
        with pytest.raises((NatsError, TimeoutError, OSError)):
            async with client(house.stack, issued[0]["credentials"]) as more:
                assert not more.is_connected, "a twenty-first connection"
                raise NatsError


async def test_rotating_gives_new_credentials_and_ends_all_earlier_ones(house: House) -> None:
    before = house.issue("bank-y", rotate=True)
    new: dict[str, Any] = {}

    async def rotate() -> None:
        new.update(await asyncio.to_thread(lambda: house.issue("bank-y", rotate=True)))

    await cut_off(house, before["credentials"], rotate)
    assert before["id"] in new["ended"]
    async with client(house.stack, new["credentials"]) as bank:
        assert (await bank.jetstream().publish("submit.yanqing.LoanRepaid", b"{}")).seq


def riskpool(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "riskpool", "partner", *words, "--data", str(house.stack.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_an_operator_adds_rotates_lists_and_revokes_beside_the_gateway(house: House) -> None:
    first = riskpool(house, "add", "bank-x", "--note", "core system")
    assert first.returncode == 0, first.stderr
    second: list[str] = []

    async def rotate() -> None:
        second.append((await asyncio.to_thread(riskpool, house, "rotate", "bank-x", "--days", "30")).stdout)

    async def revoke() -> None:
        assert "ended" in (await asyncio.to_thread(riskpool, house, "revoke", "bank-x")).stdout

    await cut_off(house, first.stdout, rotate)
    states = {line.split("\t")[3] for line in riskpool(house, "list").stdout.splitlines() if "core system" in line}
    assert states == {"ended"}
    await cut_off(house, second[0], revoke)
    nobody = riskpool(house, "add", "bank-z")
    assert nobody.returncode == 1 and "no agreement" in nobody.stderr


@pytest.mark.parametrize(("institution", "kind"), [("bank-x", "bank"), ("keeper", "custodian")])
async def test_a_partner_certifies_its_way_in(house: House, tmp_path: Path, institution: str, kind: str) -> None:
    file = tmp_path / "partner.creds"
    file.write_text(house.issue(institution, rotate=True)["credentials"])
    words = ("certify", institution, "--kind", kind, "--credentials", str(file), "--url", house.stack.nats_url)
    command = [sys.executable, "-m", "riskpool", "partner", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") == 11 and "FAILED" not in done.stdout
    house.issue(institution, rotate=True)
    shut_out = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=120, check=False
    )
    assert shut_out.returncode == 1 and "no way in" in shut_out.stderr


async def test_an_institution_may_not_let_itself_in(house: House) -> None:
    tokens = await make_tokens(house.stack.database_url("gateway"), "yanqing", {"bank-x"})
    headers = {"Authorization": f"Bearer {tokens('bank-x')}"}
    for institution in ("bank-x", "bank-y"):
        url = f"{house.commission.base_url}institutions/{institution}/bus-credentials"
        answer = httpx.post(url, headers=headers, json={})
        assert (answer.status_code, answer.json()["rule"]) == (403, "permission")
    assert httpx.get(url, headers=headers).status_code == 403


async def test_who_has_no_agreement_gets_no_credentials(house: House) -> None:
    answer = house.commission.post("/institutions/bank-z/bus-credentials", json={})
    assert (answer.status_code, answer.json()["rule"]) == (409, "bus")


async def test_a_service_may_publish_its_own_events_only_and_end_no_stream(house: House) -> None:
    keys = Path(house.stack.description["nats_keys"]).parent
    operator = await house.as_operator()
    before = (await operator.jetstream().stream_info("EVENTS")).state.last_seq
    for name in SERVICES:
        errors = list[str]()
        other = "pool" if name != "pool" else "review"
        async with client(house.stack, (keys / name / f"{name}.creds").read_text(), errors) as service:
            for subject in (f"events.yanqing.{other}.Invented", "$JS.API.STREAM.DELETE.EVENTS",
                            "$JS.API.STREAM.PURGE.EVENTS", f"$JS.API.CONSUMER.DELETE.EVENTS.{other}"):  # fmt: skip
                errors.clear()
                await service.publish(subject, b"{}")
                await service.flush()
                await asyncio.sleep(0.05)
                assert any("permissions violation for publish" in one for one in errors), (name, subject)
            errors.clear()
            await service.subscribe(f"_INBOX_{other}.>")
            await service.flush()
            await asyncio.sleep(0.05)
            assert any("permissions violation for subscription" in one for one in errors), name
    assert (await operator.jetstream().stream_info("EVENTS")).state.last_seq == before
    await operator.close()


async def test_what_a_service_lets_the_bus_deliver_as_a_command_is_none(house: House) -> None:
    """The server does not check the reply that a stream's message is asked for at."""
    keys, subject = Path(house.stack.description["nats_keys"]).parent, "owners.recovery.99"
    data = {"source": "policy_fund", "amount": "1.00", "bank_ref": "forged"}
    forged = {"specversion": "1.0", "id": str(uuid4()), "source": "/agencies/finance", "time": AT,
              "type": "riskpool.InjectCapital.v1", "scheme": "yanqing", "data": data}  # fmt: skip
    log = house.stack.data / "logs" / "pool.log"
    own = (keys / "recovery" / "recovery.creds").read_text(), None, "_INBOX_recovery"
    async with client(house.stack, *own) as recovery:
        bus = recovery.jetstream()
        await bus.add_stream(name="TRICK", subjects=[subject])
        await bus.publish(subject, json.dumps(forged).encode())
        await bus.add_consumer("TRICK", ConsumerConfig(durable_name="recovery"))
        asked = "$JS.API.CONSUMER.MSG.NEXT.TRICK.recovery"
        await recovery.publish(asked, b'{"batch": 1}', reply="commands.yanqing.pool.InjectCapital")
        await recovery.flush()
        await asyncio.to_thread(eventually, lambda: "not asked by anybody who may" in log.read_text())
    operator = await house.as_operator()
    await operator.jetstream().delete_stream("TRICK")
    await operator.close()
    assert house.commission.get("/pool").json()["capital"] == "0.00"


async def test_a_terminated_agreement_ends_access(house: House) -> None:
    credentials = house.issue("bank-y", rotate=True)["credentials"]

    async def terminate() -> None:
        command = {"institution": "bank-y", "measure": "terminate", "reason": "breach"}
        answer = await asyncio.to_thread(
            lambda: house.commission.post("/commands/SanctionInstitution", json=command)
        )
        assert answer.status_code == 200, answer.text

    await cut_off(house, credentials, terminate)
    answer = house.commission.post("/institutions/bank-y/bus-credentials", json={})
    assert (answer.status_code, answer.json()["rule"]) == (409, "bus")


async def test_a_bus_that_forgot_its_accounts_is_told_again(start: Start) -> None:
    stack = start("forgetful", "--free-ports", "--clock", "message").until_ready()
    tokens = await make_tokens(stack.database_url("gateway"), "yanqing", {"drc"})
    headers = {"Authorization": f"Bearer {tokens('drc')}", "Riskpool-Time": AT}
    with httpx.Client(base_url=f"{stack.api_url}/v1/schemes/yanqing", headers=headers, timeout=30) as commission:
        house = House(stack, commission)
        agreement = {"institution": "bank-x", "kind": "bank", "name": "X", "valid_from": "2026-01-01",
                     "valid_to": "2028-12-31", "products": ["bank"]}  # fmt: skip
        assert commission.post("/commands/SignAgreement", json=agreement).status_code == 200
        eventually(lambda: bool(commission.get("/institutions").json()["items"]))
        credentials = house.issue("bank-x")["credentials"]
    stack.stop()
    for lost in ("nats", "keys"):  # as after a restore, which makes new keys of the house
        shutil.rmtree(stack.data / lost)
    stack = start("forgetful", "--free-ports", "--clock", "message").until_ready()

    async def works() -> bool:
        with contextlib.suppress(NatsError, TimeoutError, OSError):
            async with client(stack, credentials) as bank:
                return bool((await bank.jetstream().publish("submit.yanqing.LoanRepaid", b"{}", timeout=2)).seq)
        return False

    deadline = time.monotonic() + 30
    while not await works():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
