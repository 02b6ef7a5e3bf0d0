"""The embedded stack starts, stops, starts again, says clearly why it cannot, and recovers from kill -9."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from riskpool.place import find_running
from riskpool.services import SERVICES
from riskpool.supervisor import Child, Program, StackError
from tests.conftest import eventually

Start = Callable[..., Any]


def all_ready(stack: Any) -> bool:
    try:
        addresses = stack.description["services"].values()
        return all(httpx.get(f"{url}/readyz", timeout=2).status_code == 200 for url in addresses)
    except httpx.HTTPError:
        return False


async def as_role(stack: Any, service: str, statement: str, database: str | None = None) -> Any:
    url = stack.database_url(service).replace("+asyncpg", "")
    connection = await asyncpg.connect(url.rsplit("/", 1)[0] + f"/{database or service}", ssl=False)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_service_reaches_its_own_database_only_and_owns_nothing_in_it(stack: Any) -> None:
    for service in SERVICES:
        assert await as_role(stack, service, "select current_user") == service
        assert await as_role(stack, service, "select rolsuper from pg_roles where rolname = current_user") is False
        assert await as_role(stack, service, "select count(*) from pg_tables where tableowner = current_user") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_role(stack, "review", "select 1", database="pool")


async def test_the_bus_and_the_database_sync_what_they_store(stack: Any) -> None:
    monitor = httpx.get(f"{stack.description['nats_monitor_url']}/jsz").json()
    assert monitor["config"]["sync_always"] is True
    for setting in ("fsync", "synchronous_commit"):
        assert await as_role(stack, "pool", f"select current_setting('{setting}')") == "on"


@pytest.mark.parametrize("victim", ["pool", "nats", "postgres"])
def test_what_is_killed_is_started_again_and_every_service_gets_ready(stack: Any, victim: str) -> None:
    killed = stack.kill(victim)
    eventually(lambda: stack.pid(victim) not in (killed, None))
    eventually(lambda: all_ready(stack))
    assert stack.description["restarts"][victim] >= 1


def test_other_commands_find_the_stack_and_a_second_one_is_refused(stack: Any) -> None:
    assert find_running(stack.data)["api_url"] == stack.api_url
    second = subprocess.run(
        [sys.executable, "-m", "riskpool", "up", "--data", str(stack.data), "--free-ports"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"process {stack.process.pid}" in second.stderr
    assert "--data" in second.stderr and "Traceback" not in second.stderr


def test_a_second_start_finds_its_data_even_after_the_first_was_killed(start: Start) -> None:
    first = start().until_ready()
    owner = first.description["owner_database"].replace("+asyncpg", "").replace("{service}", "pool")
    run_sql(owner, "create table kept (n int)", "insert into kept values (7)")
    assert first.stop() == 0
    assert not any(psutil.pid_exists(entry["pid"]) for entry in first.description["processes"].values())
    with pytest.raises(StackError, match="No stack is running"):
        find_running(first.data)

    second = start().until_ready()
    assert second.api_url == first.api_url
    second.crash()
    orphans = [entry["pid"] for entry in second.description["processes"].values()]

    third = start().until_ready()
    owner = third.description["owner_database"].replace("+asyncpg", "").replace("{service}", "pool")
    assert run_sql(owner, "select n from kept") == [(7,)]
    assert not any(psutil.pid_exists(pid) for pid in orphans)
    assert third.stop() == 0


def test_a_port_that_is_taken_is_named_with_its_option(start: Start) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = start("data", "--port", str(port))
        assert refused.ended() == 1
    assert f"Port {port} (gateway) is taken" in refused.text
    assert "--port N" in refused.text and "Traceback" not in refused.text


def test_a_directory_that_cannot_be_written_is_named(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = start("data", "--free-ports", "--data", str(tmp_path / "file" / "data"))
    assert refused.ended() == 1
    assert f"{tmp_path / 'file' / 'data'} cannot be written" in refused.text
    assert "--data" in refused.text and "Traceback" not in refused.text


def test_a_scheme_file_that_is_wrong_is_refused_before_anything_starts(start: Start, tmp_path: Path) -> None:
    scheme = tmp_path / "broken.toml"
    scheme.write_text("this = [is not a scheme")
    refused = start("data", "--free-ports", "--scheme", str(scheme))
    assert refused.ended() == 1
    assert "broken.toml cannot be used" in refused.text and "Traceback" not in refused.text
    assert not refused.data.exists()


def test_services_that_cannot_be_imported_end_the_stack_with_their_last_lines(start: Start) -> None:
    refused = start("data", "--free-ports", env={"RISKPOOL_LOG_LEVEL": "NO-SUCH-LEVEL"})
    assert refused.ended() == 1
    assert "The services cannot be started." in refused.text
    assert "NO-SUCH-LEVEL" in refused.text and "riskpool.cli" not in refused.text
    assert refused.description["state"] == "stopped"


async def test_a_child_that_ends_now_and_then_is_started_again_and_one_that_keeps_ending_is_reported(
    tmp_path: Path,
) -> None:
    failures: list[StackError] = []
    program = Program("brief", (sys.executable, "-c", "print('why it ended'); raise SystemExit(3)"), tmp_path / "log")
    child = Child(program, lambda: None, failures.append)
    await child.start()
    deadline = time.monotonic() + 20
    while not failures and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await child.stop()
    assert child.restarts == 4
    assert "brief keeps ending (exit code 3)" in str(failures[0]) and "why it ended" in str(failures[0])


def run_sql(url: str, *statements: str) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(url, ssl=False)
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return [tuple(row) for row in rows]
        finally:
            await connection.close()

    return asyncio.run(run())
