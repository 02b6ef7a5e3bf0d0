"""`riskpool keys --revoke`: what services had of the bus ends, and so does what could let partners in."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client

from riskpool.keys import Keys
from riskpool.scenario.embedded import make_tokens
from shared.messaging.accounts import FUND, SIGNING, partner_claim, partner_credentials
from shared.messaging.nkeys import ACCOUNT, key_of, new_key
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start
from tests.system.test_bus_access import AT, client, event, next_receipt

FREE = ("--free-ports", "--clock", "message")


async def signed_in(stack: RunningStack, credentials: Path) -> Client:
    return await nats.connect(
        stack.nats_url, user_credentials=str(credentials), allow_reconnect=False, inbox_prefix=b"_INBOX_gateway"
    )


async def let_in(system: Client, keys: Keys) -> str:
    """Credentials of an account that these keys let in by themselves, as who has stolen them would."""
    operator, fund = (keys.operator.with_name(name).read_text().strip() for name in (SIGNING, FUND))
    account, signing = new_key(ACCOUNT).public, new_key(ACCOUNT)
    claim = partner_claim(key_of(operator), account, "yanqing", "keeper", fund, [signing.public])
    await system.request("$SYS.REQ.CLAIMS.UPDATE", claim.encode(), timeout=5)
    return partner_credentials(signing, account, "yanqing", "keeper", None)[1]


async def test_revoked_keys_open_nothing_and_partners_keep_theirs(start: Start, tmp_path: Path) -> None:
    stack = start("data", *FREE).until_ready()
    tokens = await make_tokens(stack.database_url("gateway"), "yanqing", {"drc"})
    headers = {"Authorization": f"Bearer {tokens('drc')}", "Riskpool-Time": AT}
    agreement = {"institution": "keeper", "kind": "custodian", "name": "keeper", "valid_from": "2026-01-01",
                 "valid_to": "2028-12-31", "products": []}  # fmt: skip
    with httpx.Client(base_url=f"{stack.api_url}/v1/schemes/yanqing", headers=headers, timeout=30) as commission:
        assert commission.post("/commands/SignAgreement", json=agreement).status_code == 200
        eventually(lambda: bool(commission.get("/institutions").json()["items"]))
        issued = commission.post("/institutions/keeper/bus-credentials", json={}).json()["credentials"]
    shutil.copytree(stack.data / "keys", tmp_path / "stolen")
    stolen, kept = Keys(tmp_path / "stolen"), Keys(stack.data / "keys")
    stack.stop()
    time.sleep(1.1)  # what was made in the second of the revocation stays good
    subprocess.run([sys.executable, "-m", "riskpool", "keys", str(kept.directory), "--revoke"], check=True)

    stack = start("data", *FREE).until_ready()
    for file in ("pool", "operations"):
        await (await signed_in(stack, kept.credentials(file))).close()
        with pytest.raises(nats.errors.Error, match="Authorization"):
            await signed_in(stack, stolen.credentials(file))
    with pytest.raises(nats.errors.Error, match="Authorization"):
        await signed_in(stack, stolen.system)
    system = await signed_in(stack, kept.system)
    async with client(stack, await let_in(system, kept)):
        pass
    with pytest.raises(nats.errors.Error):
        async with client(stack, await let_in(system, stolen)):
            pass
    await system.close()
    await asyncio.sleep(3)  # the gateway signs the partners' accounts anew
    async with client(stack, issued) as keeper:
        identifier, body = event("keeper", as_of="2026-02-01", balance="0.00")
        await keeper.jetstream().publish("submit.yanqing.StatementIssued", body)
        assert (await next_receipt(keeper))["event_id"] == identifier
