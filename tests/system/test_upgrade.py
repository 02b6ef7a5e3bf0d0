"""The databases of the first release, with a year in them, are brought up to date and go on."""

import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from riskpool.place import Place
from riskpool.scenario.embedded import make_tokens
from riskpool.servers import PostgresServer, postgres_binaries
from riskpool.services import SERVICES
from tests.conftest import Server, eventually, free_port
from tests.system.conftest import RunningStack

FIRST = Path(__file__).with_name("first-release")


class First(Server):
    """PostgreSQL in a stack's data directory, with what the first release left there."""

    def __init__(self, place: Place) -> None:
        self.passwords = place.passwords()
        log = place.logs / "postgres.log"
        self.server = PostgresServer(place.directory / "postgres", log, free_port(), self.passwords["owner"])
        self.server.initialise()
        super().__init__(self.server.program())

    def is_ready(self) -> bool:
        command = (str(postgres_binaries() / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.server.port))
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0

    def fill(self) -> None:
        asyncio.run(self.server.ensure_databases({name: self.passwords[name] for name in SERVICES}))
        for name in SERVICES:
            where = ("-h", "127.0.0.1", "-p", str(self.server.port), "-U", "riskpool", "-d", name)
            command = (str(postgres_binaries() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *where)
            dump = gzip.decompress((FIRST / f"{name}.sql.gz").read_bytes())
            environment = {**os.environ, "PGPASSWORD": self.passwords["owner"]}
            subprocess.run(command, input=dump, env=environment, check=True, capture_output=True)


def riskpool(data: Path, *words: str) -> str:
    command = [sys.executable, "-m", "riskpool", *words, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def stack(server_directory: Path) -> Iterator[RunningStack]:
    """A stack of this release on the first one's databases."""
    data = server_directory / "upgraded"
    place = Place(data)
    place.take()
    place.release()
    first = First(place)
    first.start()
    first.fill()
    first.stop()
    running = RunningStack(data, "--free-ports", "--clock", "message").until_ready()
    yield running
    running.stop()


async def answered(stack: RunningStack, service: str, scheme: str = "") -> int:
    """How many events of partners a service took; of a scheme's, as their sources name it since its ids are its own."""
    url = stack.description["owner_database"].format(service=service).replace("+asyncpg", "")
    connection = await asyncpg.connect(url, ssl=False)
    try:
        query = "select count(*) from inbox where consumer like 'partner-%' and source like '/partners/%' || $1"
        return int(await connection.fetchval(query, scheme))
    finally:
        await connection.close()


def test_the_first_releases_databases_go_on(stack: RunningStack) -> None:
    data = stack.data
    tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", {"drc", "custodian"}))
    base = f"{stack.api_url}/v1/schemes/yanqing"
    drc, custodian = (
        httpx.Client(base_url=base, headers={"Authorization": f"Bearer {tokens(name)}"}, timeout=30)
        for name in ("drc", "custodian")
    )
    eventually(lambda: bool(drc.get("/progress").json()["settled"]), 60)
    assert drc.get("/pool").json()["balance"] == "29714666.66"
    assert asyncio.run(answered(stack, "pool")) == asyncio.run(answered(stack, "pool", "/yanqing")) > 0
    riskpool(data, "gateway", "rebuild")
    riskpool(data, "gateway", "rebuild", "--check")
    riskpool(data, "audit")
    body = {"amount": "1.00", "period": "2027Q1", "bank_ref": "after the upgrade"}
    answer = custodian.post("/partner-events/IncomeCredited", json=body, headers={"Riskpool-Time": "2027-02-01"})
    assert answer.json()["outcome"] == "accepted", answer.text
    eventually(lambda: bool(drc.get("/progress").json()["settled"]), 60)
    riskpool(data, "audit")
    assert drc.get("/pool").json()["balance"] == "29714667.66"
