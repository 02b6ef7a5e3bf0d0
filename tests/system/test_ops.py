"""Whoever runs the machines sees on one page whether all is well, and what is not."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from riskpool.scenario.embedded import make_tokens
from shared.contracts.registry import SERVICES
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start


@pytest.fixture(scope="module")
def running(start_for_module: Start) -> Iterator[RunningStack]:
    yield start_for_module("ops", "--free-ports").until_ready()


@pytest.fixture(scope="module")
def http(running: RunningStack) -> dict[str, httpx.Client]:
    tokens = asyncio.run(make_tokens(running.database_url("gateway"), "yanqing", {"operator", "drc"}))
    base = f"{running.api_url}/v1/schemes/yanqing"
    return {
        name: httpx.Client(base_url=base, headers={"Authorization": f"Bearer {tokens(name)}"}, timeout=30)
        for name in ("operator", "drc")
    }


def shown(http: dict[str, httpx.Client]) -> dict[str, Any]:
    view: dict[str, Any] = http["operator"].get("/ops").raise_for_status().json()
    return view


def faults(http: dict[str, httpx.Client]) -> list[tuple[str, str]]:
    return [(one["kind"], one["about"]) for one in shown(http)["faults"]]


def test_every_replica_is_shown_and_what_was_never_done(running: RunningStack, http: dict[str, httpx.Client]) -> None:
    eventually(lambda: [kind for kind, _ in faults(http)] == ["no_backup", "no_audit"])
    view = shown(http)
    assert {one["service"] for one in view["instances"]} == {*SERVICES, "gateway"}
    assert {one["name"].rpartition(":")[2] for one in view["instances"]} == {
        str(running.pid(name)) for name in (*SERVICES, "gateway")
    }
    assert all(one["ready"] and one["leads"] for one in view["instances"])
    assert {one["name"] for one in view["streams"]} >= {"EVENTS", "RECEIPTS"}
    assert http["drc"].get("/ops").status_code == 403


def test_a_service_that_hangs_is_named(running: RunningStack, http: dict[str, httpx.Client]) -> None:
    pid = running.pid("recovery")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert ("missing", "recovery") in faults(http)
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: ("missing", "recovery") not in faults(http), 20)


def test_a_backup_and_an_audit_are_noted(running: RunningStack, http: dict[str, httpx.Client], tmp_path: Path) -> None:
    for words in (("backup", str(tmp_path / "kept.tar")), ("audit",)):
        command = [sys.executable, "-m", "riskpool", *words, "--data", str(running.data)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    eventually(lambda: faults(http) == [])
    told = {one["kind"]: one for one in shown(http)["upkeep"]}
    assert told["backup"]["ok"] and told["backup"]["told"].startswith("kept.tar, ")
    assert told["audit"]["ok"] and told["audit"]["told"].endswith(" 0 differences")
