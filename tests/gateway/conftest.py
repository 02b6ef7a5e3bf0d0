"""A gateway database of its own for each test, and a running gateway with the two services that answer it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.gateway.auth import tokens
from services.gateway.projections import tables
from services.gateway.reads import reads_of
from shared.database import run_ddl
from shared.messaging import tables as core
from tests.conftest import PASSWORD, Nats, Postgres, eventually, free_port

SERVICES = ("gateway", "referral", "review")


@pytest.fixture
async def engine(postgres: Postgres) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(postgres.database())
    async with engine.begin() as connection:
        await connection.run_sync(core.metadata.create_all)
        await connection.run_sync(tables.metadata.create_all)
        await connection.run_sync(run_ddl, core.FENCE)
    yield engine
    await reads_of(engine).dispose()
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        yield connection


class Gateway:
    """A gateway process with referral and review beside it; `token` makes tokens as the command line does."""

    def __init__(
        self,
        postgres: Postgres,
        nats_url: str,
        directory: Path,
        clock: str = "message",
        mark: str = "gw",
        services: tuple[str, ...] = SERVICES,
    ) -> None:
        self.services = services
        self.database_url = postgres.url(f"{mark}_gateway")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._tokens: dict[tuple[str, str], str] = {}
        self.ports = {name: free_port() for name in services}
        self.url = f"http://127.0.0.1:{self.ports['gateway']}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RISKPOOL_")}
        for name in services:
            postgres.role(name)
            postgres.database(f"{mark}_{name}")
        owner = {**environment, "RISKPOOL_OWNER_URL": postgres.url(mark + "_{service}")}
        subprocess.run([sys.executable, "-m", "riskpool.migrate", *services], env=owner, check=True)
        for name in services:
            url = postgres.server.url(f"{mark}_{name}", name, PASSWORD)
            self._start(
                name,
                directory / f"{name}.log",
                {
                    **environment,
                    "RISKPOOL_DATABASE_URL": url,
                    "RISKPOOL_NATS_URL": nats_url,
                    "RISKPOOL_CLOCK": clock,
                    "RISKPOOL_DOCUMENTS": str(directory / "documents"),
                },
            )
        self._until_ready()

    def _start(self, name: str, log: Path, environment: dict[str, str]) -> None:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            f"services.{name}.app:app",
            "--port",
            str(self.ports[name]),
            "--timeout-graceful-shutdown",
            "8",
            "--no-access-log",
        ]
        with log.open("ab") as output:
            self._processes[name] = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def _until_ready(self) -> None:
        def is_ready(name: str) -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{self.ports[name]}/readyz", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        for name in self.services:
            eventually(lambda name=name: is_ready(name), 60)

    def token(self, organisation: str, scheme: str = "yanqing") -> str:
        async def make() -> str:
            engine = create_async_engine(self.database_url)
            async with engine.begin() as connection:
                made = await tokens.create(connection, scheme, organisation)
            await engine.dispose()
            return made[1]

        if (organisation, scheme) not in self._tokens:
            self._tokens[organisation, scheme] = asyncio.run(make())
        return self._tokens[organisation, scheme]

    def client(self, organisation: str, **headers: str) -> httpx.Client:
        """A client of one organisation with the scheme's address as its base."""
        return httpx.Client(
            base_url=f"{self.url}/v1/schemes/yanqing",
            timeout=20,
            headers={"Authorization": f"Bearer {self.token(organisation)}", **headers},
        )

    def settle(self) -> None:
        """Wait until the gateway has shown everything (services that do not run here are not asked)."""
        with self.client("drc") as client:

            def idle() -> bool:
                progress = client.get("/progress").json()
                own = [progress["outbox"][name] for name in self.services]
                waiting = [
                    count for name, count in progress["consumers"].items() if name.split("/")[1] in self.services
                ]
                return not any(own) and not any(waiting)

            eventually(idle)
            time.sleep(0.05)
            eventually(idle)

    def stop(self) -> float:
        """Stop everything; how long the gateway took."""
        began = time.monotonic()
        gateway = self._processes.pop("gateway", None)
        if gateway:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(20)
        took = time.monotonic() - began
        for process in self._processes.values():
            process.kill()
            process.wait(5)
        return took


@pytest.fixture(scope="session")
def gateway(postgres: Postgres, server_directory: Path) -> Iterator[Gateway]:
    directory = server_directory / "gateway"
    directory.mkdir()
    nats = Nats.alone(directory / "nats")
    nats.start()
    running = Gateway(postgres, nats.url, directory)
    yield running
    running.stop()
    nats.stop()


@pytest.fixture(scope="session")
def signed(gateway: Gateway) -> Gateway:
    """The gateway with two banks and a custodian under agreement."""
    for institution, kind in (("bank-a", "bank"), ("bank-b", "bank"), ("custodian", "custodian")):
        body = {
            "institution": institution,
            "kind": kind,
            "name": institution,
            "valid_from": "2026-01-01",
            "valid_to": "2028-12-31",
            "products": ["bank"] if kind == "bank" else [],
        }
        with gateway.client("drc") as client:
            answer = client.post("/commands/SignAgreement", json=body, headers={"Riskpool-Time": "2026-01-05"})
        assert answer.status_code == 200, answer.text
    gateway.settle()
    return gateway
