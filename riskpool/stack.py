"""The whole product on one machine: NATS, PostgreSQL and the five services, with nothing needed but Python."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx

from riskpool.keys import OPERATIONS, Keys
from riskpool.layout import Layout, service_of
from riskpool.logs import follow, rotate, tail
from riskpool.nursery import Birth, Nursery
from riskpool.place import Place, process_entry
from riskpool.servers import NatsServer, PostgresServer, bus_nodes
from riskpool.services import OWNER_URL, SERVICES
from riskpool.supervisor import Child, Program, StackError
from shared.messaging.instances import BUILD, build

READY_SECONDS = 90.0
Progress = Callable[[str], None]
Prepare = Callable[[], Awaitable[None]]
SIGNING_KEY = "RISKPOOL_SIGNING_KEY"
# What the console reads of its own environment, handed on to the services (docs/sign-in.md).
HANDED_ON = ("RISKPOOL_OIDC_", "RISKPOOL_PUBLIC_URL", "RISKPOOL_SESSION_", "RISKPOOL_TRACES")


class Stack:
    """Start, watch and stop everything in one data directory.

    `ports` fixes some of the layout's ports, the rest are chosen; `schemes` are scheme files, or names of shipped
    ones, to serve instead of `yanqing`; `clock` says where services read business time; `env` is added to the services'
    environment; `layout` says how many nodes and replicas there are.
    """

    def __init__(
        self,
        data_dir: Path,
        ports: Mapping[str, int] | None = None,
        schemes: Sequence[Path | str] = (),
        clock: Literal["message", "server"] = "server",
        env: Mapping[str, str] | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.layout = layout or Layout()
        self.place = Place(data_dir)
        self.keys = Keys(self.place.directory / "keys")
        self._migrated = self.place.directory / "migrated"
        self._nursery = Nursery(self._log("services"))
        self.clock = clock
        self.schemes = tuple(str(Path(name).absolute()) if Path(name).suffix else str(name) for name in schemes)
        self._wanted_ports = dict(ports or {})
        self._env = dict(env or {})
        self._children: dict[str, Child] = {}
        self._failure: StackError | None = None
        self._failed = asyncio.Event()
        self._state = "starting"
        self.ports: dict[str, int] = {}
        self.nodes: list[NatsServer]
        self.postgres: PostgresServer

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def nats_url(self) -> str:
        """The address of the bus: of every node, with commas between them."""
        return ",".join(node.url for node in self.nodes)

    @property
    def nats_credentials(self) -> str:
        """What an operator connects to the bus with, to do anything in the fund's account."""
        return str(self.keys.credentials(OPERATIONS))

    def database_url(self, service: str) -> str:
        """The address of a service's database with the service's own role."""
        return self.postgres.url(service, service, self._passwords[service])

    async def start(self, progress: Progress = lambda step: None, prepare: Prepare | None = None) -> None:
        """Start everything and return when every service is ready; StackError says in words why it cannot be.

        ``prepare`` is done when everything runs, before anybody is told that it is ready.
        """
        self.place.take()
        try:
            await asyncio.to_thread(self.place.end_orphans)
            self._passwords = self.place.passwords()
            self.ports = self.place.choose_ports(self.layout.ports, self._wanted_ports)
            for log in self.place.logs.glob("*.log"):
                rotate(log)
            self._migrated.unlink(missing_ok=True)
            self._prepare_servers()
            # The services take longer to be imported than the databases to be made: both at once.
            await _all_or_none(self._start_nats(progress), self._start_databases(progress), self._start_services())
            await self._until_ready(progress)
            if prepare is not None:
                await prepare()
        except BaseException:
            await self.stop()
            raise
        self._state = "ready"
        self._describe()

    async def wait(self) -> None:
        """Wait until a child keeps ending; raises the StackError that tells of it."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def stop(self) -> None:
        """End the services, then the servers they need, and let go of the directory."""
        self._state = "stopping"
        await asyncio.gather(*(child.stop() for name, child in self._children.items() if service_of(name)))
        await asyncio.gather(*(child.stop() for name, child in self._children.items() if not service_of(name)))
        if self._children:
            self._state = "stopped"
            self._describe()
        self._children.clear()
        await self._nursery.close()
        self.place.release()

    async def show_logs(self, show: Callable[[str, str], None], every_line: bool = False) -> None:
        """Pass what the children log to `show(name, line)`, for ever; only warnings and up unless `every_line`."""
        names = (*self.layout.services, *self.layout.bus, "postgres", "migrate", "services")
        await follow([self._log(name) for name in names], show, every_line)

    def _prepare_servers(self) -> None:
        directory, ports = self.place.directory, self.ports
        self.nodes = bus_nodes(self.layout.bus, directory, ports, self.keys.make())
        connections = {"max_connections": str(100 * self.layout.replicas)}
        postgres = directory / "postgres", self._log("postgres"), ports["postgres"], self._passwords["owner"]
        self.postgres = PostgresServer(*postgres, connections)

    async def _start_nats(self, progress: Progress) -> None:
        await _all_or_none(*(self._start_child(node.program()) for node in self.nodes))
        await _all_or_none(*(self._until(node.name, node.is_ready) for node in self.nodes))
        progress(f"NATS with JetStream on {self.nats_url}")

    async def _start_databases(self, progress: Progress) -> None:
        await asyncio.to_thread(self.postgres.initialise)
        await self._start_child(self.postgres.program())
        await self._until("postgres", self.postgres.is_ready)
        progress(f"PostgreSQL on 127.0.0.1:{self.ports['postgres']}")
        await self.postgres.ensure_databases({name: self._passwords[name] for name in SERVICES})
        await self._migrate(progress)
        self._migrated.touch()

    async def _migrate(self, progress: Progress) -> None:
        log = self._log("migrate")
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "riskpool.migrate",
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.place.directory,
                env={**self._environment(), OWNER_URL: self.postgres.url("{service}")}, start_new_session=True,
            )  # fmt: skip
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            raise
        if code != 0:
            lines = "\n".join(f"  {line}" for line in tail(log, 20))
            raise StackError(f"The databases could not be brought up to date. The last lines of {log}:\n{lines}")
        progress("databases up to date")

    async def _start_services(self) -> None:
        await _all_or_none(*(self._start_child(self._service(name)) for name in self.layout.services))

    async def _until_ready(self, progress: Progress) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            names = self.layout.services
            await _all_or_none(*(self._until_service_ready(client, name, progress) for name in names))

    async def _until_service_ready(self, client: httpx.AsyncClient, name: str, progress: Progress) -> None:
        async def is_ready() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return (await client.get(f"http://127.0.0.1:{self.ports[name]}/readyz")).status_code == 200
            return False

        await self._until(name, is_ready)
        progress(f"{name} on 127.0.0.1:{self.ports[name]}")

    def _service(self, name: str) -> Program:
        service = service_of(name)
        environment = self._environment() | {
            "RISKPOOL_DATABASE_URL": self.database_url(service),
            "RISKPOOL_NATS_CREDENTIALS": str(self.keys.credentials(service)),
        }
        if service == "gateway":
            environment["RISKPOOL_NATS_KEYS"] = str(self.keys.operator.parent)
        if service == "pool":
            environment.setdefault(SIGNING_KEY, os.environ.get(SIGNING_KEY) or str(self.place.signing_key()))
        birth = Birth(
            f"services.{service}.app:app", self.ports[name], str(self._migrated), environment, str(self._log(name)),
            str(self.place.directory),
        )  # fmt: skip
        return Program(name, (), self._log(name), fork=partial(self._nursery.fork, birth))

    def _environment(self) -> dict[str, str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RISKPOOL_") or name.startswith(HANDED_ON)
        }
        environment |= {
            "PYTHONUNBUFFERED": "1",
            "RISKPOOL_NATS_URL": self.nats_url,
            "RISKPOOL_NATS_REPLICAS": str(self.layout.nodes),
            "RISKPOOL_CLOCK": self.clock,
            "RISKPOOL_DATA": str(self.place.directory),
            "RISKPOOL_DOCUMENTS": str(self.place.directory / "documents"),
            "RISKPOOL_METRICS_TOKEN": str(self.place.metrics_token()),
            BUILD: build(),  # of this start, for all of them
            "RISKPOOL_CLAMD": os.environ.get("RISKPOOL_CLAMD", ""),
            "RISKPOOL_LOG_LEVEL": os.environ.get("RISKPOOL_LOG_LEVEL", "INFO"),
        }
        if self.schemes:
            environment["RISKPOOL_SCHEMES"] = os.pathsep.join(self.schemes)
        return environment | self._env

    async def _start_child(self, program: Program) -> None:
        child = Child(program, self._describe, self._fail)
        self._children[program.name] = child
        await child.start()

    async def _until(self, name: str, is_ready: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not await is_ready():
            if self._failure is not None:
                raise self._failure
            if time.monotonic() > deadline:
                lines = "\n".join(f"  {line}" for line in tail(self._log(name), 20))
                raise StackError(
                    f"{name} did not become ready within {READY_SECONDS:.0f} seconds. The last lines of "
                    f"{self._log(name)}:\n{lines}"
                )
            await asyncio.sleep(0.05)
        self._children[name].was_ready = True

    def _fail(self, error: StackError) -> None:
        self._failure = self._failure or error
        self._failed.set()

    def _log(self, name: str) -> Path:
        return self.place.logs / f"{name}.log"

    def _describe(self) -> None:
        self.place.describe(self.description())

    def description(self) -> dict[str, Any]:
        """Addresses and process ids, as written to `stack.json`."""
        pids = {name: child.pid for name, child in self._children.items()}
        return {
            "state": self._state,
            "pid": os.getpid(),
            "api_url": self.api_url,
            "nats_url": self.nats_url,
            "nats_replicas": self.layout.nodes,
            "nats_credentials": self.nats_credentials,
            "nats_keys": str(self.keys.operator.parent),
            "metrics_token": str(self.place.metrics_token()),
            "nats_monitor_url": self.nodes[0].monitor_url,
            "services": {name: f"http://127.0.0.1:{self.ports[name]}" for name in self.layout.services},
            "databases": {name: self.database_url(name) for name in SERVICES},
            "owner_database": self.postgres.url("{service}"),
            "clock": self.clock,
            "schemes": list(self.schemes),
            "processes": {name: process_entry(pid) for name, pid in pids.items() if pid is not None},
            "restarts": {name: child.restarts for name, child in self._children.items()},
        }


async def _all_or_none(*steps: Coroutine[Any, Any, None]) -> None:
    """Run steps side by side; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
