"""The container files as they are shipped: built, brought up, and driven through the one port they publish."""

import json
import os
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from riskpool.demo import STORY
from riskpool.scenario.embedded import organisations_of
from riskpool.scenario.story import load_story
from riskpool.services import SERVICES

pytestmark = pytest.mark.compose

ROOT = Path(__file__).parents[2]
# A private engine for machines that have none; where it is not there, the machine's own engine is used.
LAB = ROOT.parent / "shared" / "tools" / "compose-lab.sh"
LAB_PROGRAMS = Path(os.environ.get("COMPOSE_LAB_DIR", "/var/tmp/compose-lab")) / "pkg/usr/bin"
PROJECT = "riskpool-test"
PORT = 18080
SERVERS = ("nats", "postgres")


class Platform:
    """The compose project with passwords of its own, under a name of its own."""

    def __init__(self) -> None:
        passwords = (f"{name.upper()}_DB_PASSWORD" for name in SERVICES)
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:{LAB_PROGRAMS}",
            **{name: secrets.token_hex(24) for name in ("POSTGRES_PASSWORD", *passwords)},
            "RISKPOOL_CLOCK": "message",
            "GATEWAY_PORT": str(PORT),
        }

    def lab(self, *words: str) -> str:
        return self._run(str(LAB), *words)

    def compose(self, *words: str) -> str:
        return self.inside("docker", "compose", "--project-name", PROJECT, *words)

    def inside(self, *command: str) -> str:
        """Run a command where the engine and the published port are."""
        return self._run(*((str(LAB), "run") if LAB.exists() else ()), *command)

    def state(self) -> dict[str, dict[str, Any]]:
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {one["Service"]: one for one in map(json.loads, lines)}

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            told = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{told}")
        return done.stdout


@pytest.fixture(scope="module")
def engine() -> Iterator[Platform]:
    """An engine that has the base images, and the wheels where a build cannot reach a package registry."""
    platform = Platform()
    if not LAB.exists():
        yield platform
        return
    try:
        platform.inside("docker", "version")
        was_running = True
    except AssertionError:
        was_running = False
    platform.lab("up", "docker-compose.yml")
    platform.lab("wheels", "requirements/runtime.lock")
    yield platform
    if not was_running:
        platform.lab("down")


@pytest.fixture(scope="module")
def platform(engine: Platform) -> Iterator[Platform]:
    engine.compose("down", "--volumes", "--remove-orphans")
    try:
        engine.compose("build")
        try:
            engine.compose("up", "--wait", "--wait-timeout", "300")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{engine.compose('logs', '--no-color', '--tail', '40')}") from None
        yield engine
    finally:
        engine.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")


def test_everything_becomes_healthy_and_every_migration_ends_well(platform: Platform) -> None:
    state = platform.state()
    assert {name: state[name]["Health"] for name in (*SERVICES, *SERVERS)} == dict.fromkeys(
        (*SERVICES, *SERVERS), "healthy"
    )
    ended = {name: state[f"migrate-{name}"]["ExitCode"] for name in SERVICES}
    assert ended == dict.fromkeys(SERVICES, 0)


def test_the_gateway_alone_is_published_and_on_this_machine_only(platform: Platform) -> None:
    published = {
        name: {(port["URL"], port["PublishedPort"]) for port in one["Publishers"] or () if port["PublishedPort"]}
        for name, one in platform.state().items()
    }
    assert {name: ports for name, ports in published.items() if ports} == {"gateway": {("127.0.0.1", PORT)}}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_no_root_and_cannot_change_its_image(platform: Platform, service: str) -> None:
    assert platform.compose("exec", "-T", service, "id", "-u").strip() != "0"
    with pytest.raises(AssertionError, match="Read-only file system"):
        platform.compose("exec", "-T", service, "touch", "/app/changed")


def test_nothing_can_be_installed_in_the_image(platform: Platform) -> None:
    with pytest.raises(AssertionError, match="No module named pip"):
        platform.compose("exec", "-T", "gateway", "python", "-m", "pip", "--version")
    say = "from shared.messaging.instances import version; print(version())"
    version = platform.compose("exec", "-T", "gateway", "python", "-c", say)
    assert version.strip() == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_first_year_passes_through_the_published_port(platform: Platform, tmp_path: Path) -> None:
    create = ("exec", "-T", "gateway", "python", "-m", "riskpool", "token", "create")
    organisations = sorted(organisations_of(load_story(STORY)))
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text("".join(f"{one}: {platform.compose(*create, one).strip()}\n" for one in organisations))
    run = (sys.executable, "-m", "riskpool", "scenario", str(STORY), "--json", "--tokens", str(tokens))
    outcome = json.loads(platform.inside(*run, "--url", f"http://127.0.0.1:{PORT}"))
    assert outcome["failed"] == []
    assert outcome["passed"] == outcome["steps"] == len(load_story(STORY).steps)
    assert outcome["pool"]["balance"] == "29714666.66"
