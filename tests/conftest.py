"""Real servers for tests, one of each a session: started in under a second, and killed or restarted at will."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData

from riskpool import place
from riskpool.keys import Keys
from riskpool.layout import Layout
from riskpool.servers import NatsServer, PostgresServer, bus_nodes, postgres_binaries
from riskpool.supervisor import Program
from shared.database import run_ddl
from shared.messaging import tables as core

PASSWORD = "test"
_numbers = itertools.count(1)
_twins: list[socket.socket] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that the others do not wait for it in the end."""
    items.sort(key=lambda item: item.path.name != "test_scenarios.py")


class Server:
    """A server process of the tests: `kill` is kill -9, `start` after it finds the same data."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        self.launch()
        eventually(self.is_ready)

    def launch(self) -> None:
        """Start without waiting: a node is not ready before the others are there."""
        if self._program.prepare is not None:
            self._program.prepare()
        with self._program.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._program.cwd,
                env=self._program.environment,
                start_new_session=True,
                **self._program.options,
            )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(self._program.stop_signal)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.wait(20)
            self._process = None


class Nats(Server):
    """`url` for clients; `wipe` deletes everything it stored."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.url, self.monitor_url = self.server.url, self.server.monitor_url
        super().__init__(self.server.program())

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.monitor_url}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
        return False

    @classmethod
    def alone(cls, directory: Path, more: str = "") -> "Nats":
        """A server of its own, which lets in everybody."""
        return cls(NatsServer(directory, directory.parent / "nats.log", free_port(), free_port(), more=more))

    def wipe(self) -> None:
        self.stop()
        shutil.rmtree(self.server.directory / "store", ignore_errors=True)
        self.start()


class Postgres(Server):
    """`database()` makes a new empty database and gives its owner's address; `url(database)` gives an address."""

    def __init__(self, directory: Path) -> None:
        log = directory.parent / "postgres.log"
        # Commits still reach the operating system, so what was committed survives kill -9 (not a power cut).
        fast = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
        self.server = PostgresServer(directory, log, free_port(), PASSWORD, fast)
        self.server.initialise(sync=False)
        self._names = itertools.count(1)
        super().__init__(self.server.program())

    def is_ready(self) -> bool:
        command = (str(postgres_binaries() / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.server.port))
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0

    def database(self, name: str | None = None) -> str:
        name = name or f"test_{next(self._names)}"
        self.sql("postgres", f'create database "{name}"')
        return self.url(name)

    def role(self, name: str) -> None:
        """A login role without rights, with the password of all tests; nothing happens when it is there."""
        if not self.sql("postgres", f"select 1 from pg_roles where rolname = '{name}'"):
            self.sql("postgres", f"create role \"{name}\" login password '{PASSWORD}'")

    def url(self, database: str, role: str | None = None) -> str:
        return self.server.url(database, role, PASSWORD) if role else self.server.url(database)

    def sql(self, database: str, statement: str) -> str:
        """Run a statement as the owner; the rows as text."""
        command = [str(postgres_binaries() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": "riskpool", "PGPASSWORD": PASSWORD}
        environment = {**os.environ, **where, "PGDATABASE": database}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def free_port() -> int:
    """A port that is this process's until it ends."""
    port, twin = place.free_port()
    _twins.append(twin)
    return port


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait, on a busy machine long: how fast something is `make bench` says."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{holds} did not hold within {seconds} s"
        time.sleep(0.02)


def make_tables(connection: Connection, *parts: MetaData) -> None:
    """The core's tables and these, as a service that began with scheme yanqing has them."""
    for part in (core.metadata, *parts):
        part.create_all(connection)
    for script in (core.OUTBOX_TRIGGERS, core.OUTBOX_KEEPS, core.FENCE):
        run_ddl(connection, script)
    connection.execute(core.schemes.insert().values(scheme="yanqing", version=""))


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A directory that PostgreSQL's account can reach, also when root runs the tests."""
    directory = Path(tempfile.mkdtemp(prefix="riskpool-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def nats_server(server_directory: Path) -> Iterator[Nats]:
    server = Nats.alone(server_directory / "nats")
    server.start()
    yield server
    server.stop()


class Nodes:
    """Three nodes of one bus in operator mode; each can be killed by itself."""

    def __init__(self, directory: Path) -> None:
        (directory / "logs").mkdir(parents=True)
        self.keys, names = Keys(directory / "keys").make(), Layout(nodes=3).bus
        ports = {f"{name}{use}": free_port() for name in names for use in ("", "-monitor", "-routes")}
        self.nodes = [Nats(server) for server in bus_nodes(names, directory, ports, self.keys)]

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.launch()
        eventually(lambda: all(node.is_ready() for node in self.nodes), 60)

    def forget(self, node: Nats) -> None:
        """Kill a node, delete all that it has, and start it again."""
        node.kill()
        shutil.rmtree(node.server.directory)
        node.start()

    def node(self, name: str) -> Nats:
        """The node of that name."""
        return next(node for node in self.nodes if node.server.name == name)


@pytest.fixture
def three_nodes(server_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """A bus of three nodes, of which every stream is kept three times."""
    nodes = Nodes(server_directory / f"nodes-{next(_numbers)}")
    monkeypatch.setenv("RISKPOOL_NATS_URL", nodes.url)
    monkeypatch.setenv("RISKPOOL_NATS_REPLICAS", "3")
    nodes.start()
    yield nodes
    for node in nodes.nodes:
        node.kill()


@pytest.fixture(scope="session")
def postgres(server_directory: Path) -> Iterator[Postgres]:
    server = Postgres(server_directory / "postgres")
    server.start()
    yield server
    server.stop()
