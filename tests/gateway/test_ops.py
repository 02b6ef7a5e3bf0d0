"""Without the bus the operator still sees what the gateway's own database knows."""

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.upkeep import note
from services.gateway.reads import reads_of
from tests.conftest import Nats, Postgres, eventually
from tests.gateway.conftest import Gateway
from tests.gateway.console import PASSWORD, person, text_of

FAULTS = [("bus", ""), ("no_audit", "")]


@pytest.fixture(scope="module")
def nats(server_directory: Path) -> Iterator[Nats]:
    (server_directory / "gateway-ops").mkdir()
    running = Nats.alone(server_directory / "gateway-ops" / "nats")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def alone(postgres: Postgres, server_directory: Path, nats: Nats) -> Iterator[Gateway]:
    """A gateway of which a backup is known."""
    running = Gateway(postgres, nats.url, server_directory / "gateway-ops", mark="ops", services=("gateway",))
    note(running.database_url, "backup", True, "kept.backup, 7 bytes")
    yield running
    running.stop()


def shown(gateway: Gateway) -> dict[str, Any]:
    with gateway.client("operator") as client:
        view: dict[str, Any] = client.get("/ops").raise_for_status().json()
    return view


def faults(view: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["kind"], one["about"]) for one in view["faults"]]


def test_a_bus_that_hangs_is_a_fault_and_the_rest_is_shown(alone: Gateway, nats: Nats) -> None:
    assert ("bus", "") not in faults(shown(alone))
    assert nats._process is not None
    nats._process.send_signal(signal.SIGSTOP)
    try:
        view = shown(alone)
    finally:
        nats._process.send_signal(signal.SIGCONT)
    assert faults(view) == FAULTS
    eventually(lambda: ("bus", "") not in faults(shown(alone)))


def test_a_bus_that_is_away_is_a_fault_and_the_rest_is_shown(alone: Gateway, nats: Nats) -> None:
    nats.stop()
    view = shown(alone)
    assert faults(view) == FAULTS
    assert [(one["service"], one["ready"]) for one in view["instances"]] == [("gateway", False)]
    assert view["parked"]["gateway"] == 0 and view["parked"]["pool"] is None and view["streams"] == []
    assert [(one["kind"], one["ok"], one["told"]) for one in view["upkeep"]] == [
        ("backup", True, "kept.backup, 7 bytes"), ("audit", None, ""),
    ]  # fmt: skip


def test_the_page_says_the_same(alone: Gateway) -> None:
    """After the bus was stopped."""

    async def enter() -> None:
        engine = create_async_engine(alone.database_url)
        await person(engine, "sun", "operator", "officer")
        await reads_of(engine).dispose()
        await engine.dispose()

    asyncio.run(enter())
    with httpx.Client(base_url=alone.url, headers={"Accept-Language": "en"}, timeout=20) as browser:
        browser.get("/sign-in")
        signed = browser.post("/sign-in", data={"login": "sun", "password": PASSWORD}, headers={"Origin": alone.url})
        assert signed.status_code == 303, signed.text
        page = browser.get("/ops")
    assert page.status_code == 200, text_of(page)
    assert "The bus is away" in text_of(page) and "kept.backup, 7 bytes" in text_of(page)
    assert re.search(r"Last audit: *never done", text_of(page)), text_of(page)
