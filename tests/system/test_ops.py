"""Whoever runs the machines sees on one page whether all is well, and what is not."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from riskpool.scenario.embedded import make_tokens
from riskpool.upkeep import note
from shared.contracts.registry import SERVICES
from shared.messaging.instances import BUILD
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start


@pytest.fixture(scope="module")
def running(start_for_module: Start) -> Iterator[RunningStack]:
    yield start_for_module("ops", "--free-ports", env={BUILD: "tried"}).until_ready()


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


def figures(running: RunningStack, name: str) -> dict[str, float]:
    """What a metric of the gateway says, by kind."""
    token = Path(running.description["metrics_token"]).read_text()
    answer = httpx.get(f"{running.api_url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    families = text_string_to_metric_families(answer.raise_for_status().text)
    return {one.labels["kind"]: one.value for family in families for one in family.samples if one.name == name}


def test_every_replica_is_shown_and_what_was_never_done(running: RunningStack, http: dict[str, httpx.Client]) -> None:
    eventually(lambda: [kind for kind, _ in faults(http)] == ["no_backup", "no_audit"])
    view = shown(http)
    assert {one["service"] for one in view["instances"]} == {*SERVICES, "gateway"}
    assert {one["name"].rpartition(":")[2] for one in view["instances"]} == {
        str(running.pid(name)) for name in (*SERVICES, "gateway")
    }
    assert all(one["ready"] and one["leads"] for one in view["instances"])
    assert all(one["version"].endswith("+tried") for one in view["instances"])
    assert {one["name"] for one in view["streams"]} >= {"EVENTS", "RECEIPTS"}
    assert http["drc"].get("/ops").status_code == 403
    assert figures(running, "riskpool_upkeep_age_seconds") == {"backup": math.inf, "audit": math.inf}
    assert figures(running, "riskpool_upkeep_good") == {}


def test_a_service_that_hangs_is_named(running: RunningStack, http: dict[str, httpx.Client]) -> None:
    pid = running.pid("recovery")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        assert ("missing", "recovery") in faults(http)
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: ("missing", "recovery") not in faults(http))


def test_a_backup_and_an_audit_are_noted(running: RunningStack, http: dict[str, httpx.Client], tmp_path: Path) -> None:
    for words in (("backup", str(tmp_path / "kept.tar")), ("audit",)):
        command = [sys.executable, "-m", "riskpool", *words, "--data", str(running.data)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    eventually(lambda: faults(http) == [])
    told = {one["kind"]: one for one in shown(http)["upkeep"]}
    assert told["backup"]["ok"] and told["backup"]["told"].startswith("kept.tar, ")
    assert told["audit"]["ok"] and told["audit"]["told"].endswith(" 0 differences")
    assert figures(running, "riskpool_upkeep_good") == {"backup": 1, "audit": 1}
    ages = figures(running, "riskpool_upkeep_age_seconds")
    assert ages.keys() == {"backup", "audit"} and all(0 <= age < 120 for age in ages.values())


def test_one_that_failed_is_told(running: RunningStack, http: dict[str, httpx.Client]) -> None:
    note(running.description["owner_database"].replace("{service}", "gateway"), "audit", False, "3 differences")
    assert faults(http) == [("failed_audit", "3 differences")]
    assert figures(running, "riskpool_upkeep_good") == {"backup": 1, "audit": 0}
