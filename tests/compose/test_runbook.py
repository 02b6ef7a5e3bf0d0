"""docs/runbook.md as an operator of containers types it, from the first people to the restore after a loss."""

import json
import re
from typing import Any

import pytest

from riskpool.services import SERVICES
from tests.compose.conftest import PORT, PROJECT, ROOT, Platform
from tests.compose.test_compose import asked, books
from tests.conftest import eventually
from tests.system.test_docs import blocks

pytestmark = pytest.mark.compose
PAGE = "docs/runbook.md"
ALIAS, *TASKS = blocks(PAGE, "bash")
# How the page begins commands with files, and a command for each.
WITH_FILES = re.findall(r"`(-v [^`]+ riskpool)`", (ROOT / PAGE).read_text())
COMMANDS = (
    "audit export /backups/books.zip", "report make custodian_annual 2026 /backups",
    "scheme check /schemes/huairou.toml", "import-history --check /history.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(platform: Platform) -> Platform:
    """A fund with capital, and the files that the page has an operator make."""
    place = platform.place
    (place / "schemes").mkdir()
    [scheme] = [one for one in blocks(PAGE, "sh") if "huairou.toml" in one]
    told = re.search(r"<<'END'\n(.*?)^END$", scheme, re.DOTALL | re.MULTILINE)
    assert told is not None
    (place / "schemes" / "huairou.toml").write_text(told[1])
    override, _ = blocks(PAGE, "yaml")
    (place / "docker-compose.override.yml").write_text(override)
    platform.open_fund()
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


@pytest.mark.parametrize(("begins", "command"), [*zip(WITH_FILES, COMMANDS, strict=True)], ids=COMMANDS)
def test_a_command_with_a_file_sees_it(server: Platform, begins: str, command: str) -> None:
    server.shell(f"{ALIAS}\nriskpool import-history --template > history.csv")
    server.shell(f"docker compose run --rm {begins} {command}")


def test_after_all_of_them_the_books_are_the_same_and_the_second_fund_is_there(server: Platform, before: Any) -> None:
    assert books(server) == before and before["balance"] != "0.00"
    token = server.shell(f"{ALIAS}\nriskpool token create drc --scheme huairou").strip()
    assert asked(server, f"http://127.0.0.1:{PORT}/v1/schemes/huairou/pool", token)["balance"] == "0.00"
