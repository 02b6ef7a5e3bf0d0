"""docs/runbook.md as an operator of containers types it, from the first people to the restore after a loss."""

import json
import re
import sys
from typing import Any

import pytest

from riskpool.services import SERVICES
from tests.compose.conftest import PORT, PROJECT, Platform
from tests.compose.test_compose import asked, books
from tests.conftest import eventually
from tests.system.test_docs import LENDING, blocks

pytestmark = pytest.mark.compose
PAGE = "docs/runbook.md"
ALIAS, *TASKS = blocks(PAGE, "bash")
STORY = f"scheme: yanqing\nuse: {LENDING}\nsteps:\n  - {{on: 2026-01-05, play: open-fund}}\n"


@pytest.fixture(scope="module")
def server(platform: Platform) -> Platform:
    """A fund with capital, and the files that the page has an operator make."""
    place = platform.place
    for name in ("backups", "schemes"):
        (place / name).mkdir()
    (place / "backups").chmod(0o777)
    [scheme] = [one for one in blocks(PAGE, "sh") if "huairou.toml" in one]
    told = re.search(r"<<'END'\n(.*?)^END$", scheme, re.DOTALL | re.MULTILINE)
    assert told is not None
    (place / "schemes" / "huairou.toml").write_text(told[1])
    override, _ = blocks(PAGE, "yaml")
    (place / "docker-compose.override.yml").write_text(override)
    (place / "story.yaml").write_text(STORY)
    make = 'for one in drc finance; do echo "$one: $(riskpool token create $one)"; done > tokens.yaml'
    platform.shell(f"{ALIAS}\n{make}")
    tell = (sys.executable, "-m", "riskpool", "scenario", "story.yaml", "--tokens", "tokens.yaml")
    platform.inside(*tell, "--url", f"http://127.0.0.1:{PORT}")
    return platform


def test_a_managed_server_is_asked_by_everybody(server: Platform) -> None:
    _, managed = blocks(PAGE, "yaml")
    (server.place / "managed.yml").write_text(managed)
    told = json.loads(server.compose("-f", "docker-compose.yml", "-f", "managed.yml", "config", "--format", "json"))
    for name in SERVICES:
        for one, setting in ((name, "RISKPOOL_DATABASE_URL"), (f"migrate-{name}", "RISKPOOL_OWNER_URL")):
            assert "@db.example/" in told["services"][one]["environment"][setting]
            assert "RISKPOOL_DATABASE_PASSWORD" in told["services"][one]["environment"]
            assert {"front", "data"} <= told["services"][one]["networks"].keys()


@pytest.fixture(scope="module")
def before(server: Platform) -> Any:
    return books(server)


@pytest.mark.parametrize("script", TASKS, ids=lambda script: script.splitlines()[0])
def test_a_task_is_done_as_printed(server: Platform, before: Any, script: str) -> None:
    server.shell(f"{ALIAS}\n{script.replace('riskpool_', f'{PROJECT}_')}")
    eventually(lambda: all(server.state()[name]["Health"] == "healthy" for name in SERVICES), 120)


def test_after_all_of_them_the_books_are_the_same_and_the_second_fund_is_there(server: Platform, before: Any) -> None:
    assert books(server) == before and before["balance"] != "0.00"
    token = server.shell(f"{ALIAS}\nriskpool token create drc --scheme huairou").strip()
    assert asked(server, f"http://127.0.0.1:{PORT}/v1/schemes/huairou/pool", token)["balance"] == "0.00"
