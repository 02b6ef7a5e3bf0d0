"""What docs/cluster.md tells a reader to type: a fund that began on one node goes on with three and two replicas."""

import asyncio
import contextlib
import os
import shlex
import subprocess
from pathlib import Path

import httpx
import nats
import pytest

from riskpool.scenario.embedded import make_tokens
from riskpool.services import SERVICES
from shared.messaging.bus import servers_in
from shared.messaging.unit_of_work import EVENTS
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start
from tests.system.test_bus_access import AT
from tests.system.test_docs import blocks, reader

__all__ = ["reader"]
FREE = ("--free-ports", "--clock", "message")


def commission(stack: RunningStack, gateway: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}", "Riskpool-Time": AT}
    return httpx.Client(base_url=f"{stack.description['services'][gateway]}/v1/schemes/yanqing", headers=headers)


def sign(client: httpx.Client, institution: str) -> None:
    agreement = {"institution": institution, "kind": "bank", "name": institution, "valid_from": "2026-01-01",
                 "valid_to": "2028-12-31", "products": ["bank"]}  # fmt: skip
    assert client.post("/commands/SignAgreement", json=agreement, timeout=30).status_code == 200


def shows(client: httpx.Client, *institutions: str) -> bool:
    return {one["id"] for one in client.get("/institutions").json()["items"]} == set(institutions)


def is_ready(client: httpx.Client) -> bool:
    """Whether a gateway answers again."""
    with contextlib.suppress(httpx.TransportError):
        return client.get(f"http://{client.base_url.netloc.decode()}/readyz").status_code == 200
    return False


@pytest.mark.slow
def test_a_fund_that_began_on_one_node_goes_on_with_three(start: Start) -> None:
    up, _ = blocks("docs/cluster.md", "sh")
    program, command, *options = shlex.split(up)
    assert (program, command) == ("riskpool", "up")
    one = start("data", *FREE).until_ready()
    token = asyncio.run(make_tokens(one.database_url("gateway"), "yanqing", {"drc"}))("drc")
    with commission(one, "gateway", token) as client:
        sign(client, "bank-x")
        eventually(lambda: shows(client, "bank-x"))
    assert one.stop() == 0

    three = start("data", *options, *FREE).until_ready()
    assert len(servers_in(three.nats_url)) == three.description["nats_replicas"] == 3
    assert set(three.description["services"]) == {f"{name}{more}" for name in SERVICES for more in ("", "-2")}
    with commission(three, "gateway", token) as first, commission(three, "gateway-2", token) as second:
        assert shows(first, "bank-x") and shows(second, "bank-x")
        sign(second, "bank-y")
        eventually(lambda: shows(first, "bank-x", "bank-y") and shows(second, "bank-x", "bank-y"))
        three.kill("gateway")  # one of the two folds events: whichever it is, the other takes over
        sign(second, "bank-z")
        eventually(lambda: shows(second, "bank-x", "bank-y", "bank-z"))
        eventually(lambda: is_ready(first))
        three.kill("gateway-2")
        sign(first, "bank-w")
        eventually(lambda: shows(first, "bank-w", "bank-x", "bank-y", "bank-z"))
    eventually(lambda: asyncio.run(everything_is_kept_three_times(three)))
    assert three.stop() == 0


async def everything_is_kept_three_times(stack: RunningStack) -> bool:
    """Also what was announced when there was one node."""
    credentials = stack.description["nats_credentials"]
    async with await nats.connect(servers_in(stack.nats_url), user_credentials=credentials) as client:
        infos = await client.jetstream(timeout=10).streams_info()
        announced = next(info.state.messages for info in infos if info.config.name == EVENTS)
    return {info.config.num_replicas for info in infos} == {3} and announced >= 2


def test_the_keys_of_ones_own_servers_are_made(reader: Path) -> None:
    _, keys = blocks("docs/cluster.md", "sh")
    environment = {**os.environ, "PATH": f"{reader}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", keys], cwd=reader, env=environment, check=True)
    assert "resolver" in (reader / "keys" / "server" / "accounts.conf").read_text()
