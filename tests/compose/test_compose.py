"""The container files as they are shipped: built, brought up, and driven through the one port they publish."""

import json
import os
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskpool.demo import STORY
from riskpool.scenario.embedded import organisations_of
from riskpool.scenario.story import load_story
from riskpool.services import SERVICES
from tests.conftest import eventually

pytestmark = pytest.mark.compose

ROOT = Path(__file__).parents[2]
# A private engine for machines that have none; where it is not there, the machine's own engine is used.
LAB = ROOT.parent / "shared" / "tools" / "compose-lab.sh"
LAB_PROGRAMS = Path(os.environ.get("COMPOSE_LAB_DIR", "/var/tmp/compose-lab")) / "pkg/usr/bin"
PROJECT = "riskpool-test"
PORT, PROMETHEUS_PORT = 18080, 19090
SERVERS = ("nats", "postgres")
OPS = ("exporter", "prometheus", "alertmanager")


class Platform:
    """The compose project with passwords of its own, under a name of its own."""

    def __init__(self, token: Path) -> None:
        token.write_text(secrets.token_hex(24))
        token.chmod(0o644)
        passwords = (f"{name.upper()}_DB_PASSWORD" for name in SERVICES)
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:{LAB_PROGRAMS}",
            **{name: secrets.token_hex(24) for name in ("POSTGRES_PASSWORD", *passwords)},
            "RISKPOOL_CLOCK": "message",
            "GATEWAY_PORT": str(PORT),
            "PROMETHEUS_PORT": str(PROMETHEUS_PORT),
            "METRICS_TOKEN_FILE": str(token),
            "COMPOSE_PROFILES": "ops",
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
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An engine that has the base images, and the wheels where a build cannot reach a package registry."""
    platform = Platform(tmp_path_factory.mktemp("secrets") / "metrics-token")
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
    everything = (*SERVICES, *SERVERS, *OPS)
    assert {name: state[name]["Health"] for name in everything} == dict.fromkeys(everything, "healthy")
    ended = {name: state[f"migrate-{name}"]["ExitCode"] for name in SERVICES}
    assert ended == dict.fromkeys(SERVICES, 0)


def test_the_gateway_and_the_operators_prometheus_are_published_and_on_this_machine_only(platform: Platform) -> None:
    published = {
        name: {(port["URL"], port["PublishedPort"]) for port in one["Publishers"] or () if port["PublishedPort"]}
        for name, one in platform.state().items()
    }
    assert {name: ports for name, ports in published.items() if ports} == {
        "gateway": {("127.0.0.1", PORT)},
        "prometheus": {("127.0.0.1", PROMETHEUS_PORT)},
    }


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


def test_prometheus_reads_every_service_and_the_bus(platform: Platform) -> None:
    eventually(lambda: set(targets(platform).values()) == {"up"}, 60)
    assert set(targets(platform)) == {*(f"{name}:8000" for name in SERVICES), "exporter:9108"}


def targets(platform: Platform) -> dict[str, str]:
    told = asked(platform, f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/targets?state=active")
    return {one["labels"]["instance"]: one["health"] for one in told["data"]["activeTargets"]}


def asked(platform: Platform, url: str, token: str = "") -> Any:
    read = "import sys, urllib.request as u; r = u.Request(sys.argv[1], headers={'Authorization': sys.argv[2]})"
    read += "; print(u.urlopen(r).read().decode())"
    return json.loads(platform.inside(sys.executable, "-c", read, url, f"Bearer {token}"))


def books(platform: Platform) -> dict[str, Any]:
    """What the fund holds, once every service has said that its books are right."""
    platform.compose("run", "--rm", "migrate-pool", "python", "-m", "riskpool", "audit")
    token = platform.compose("exec", "-T", "gateway", "python", "-m", "riskpool", "token", "create", "drc").strip()
    pool: dict[str, Any] = asked(platform, f"http://127.0.0.1:{PORT}/v1/schemes/yanqing/pool", token)
    return pool


def test_any_container_may_stop_and_start_again(platform: Platform) -> None:
    before = books(platform)
    for name in (*SERVICES, *SERVERS):
        platform.compose("stop", name)
        platform.compose("start", name)
    platform.compose("up", "--wait", "--wait-timeout", "120")
    assert books(platform) == before


def test_three_pools_keep_one_set_of_books(platform: Platform, tmp_path: Path) -> None:
    before = books(platform)
    platform.compose("up", "--wait", "--wait-timeout", "120", "--scale", "pool=3")
    create = ("exec", "-T", "gateway", "python", "-m", "riskpool", "token", "create", "custodian")
    token = platform.compose(*create).strip()
    credit = """
import concurrent.futures, json, sys, urllib.request as u
def one(n):
    body = json.dumps({"amount": "0.01", "period": "2027Q1", "bank_ref": f"three-{n}"}).encode()
    head = {"Authorization": "Bearer " + sys.argv[2], "Content-Type": "application/json"}
    head["Idempotency-Key"] = f"three-{n}"
    head["Riskpool-Time"] = "2027-02-01"
    return json.load(u.urlopen(u.Request(sys.argv[1], body, head)))["outcome"]
print(json.dumps(list(concurrent.futures.ThreadPoolExecutor(16).map(one, range(200)))))
"""
    url = f"http://127.0.0.1:{PORT}/v1/schemes/yanqing/partner-events/IncomeCredited"
    told = json.loads(platform.inside(sys.executable, "-c", credit, url, token))
    assert told == ["accepted"] * 200
    after = books(platform)
    assert Decimal(after["balance"]) - Decimal(before["balance"]) == 2
    assert len(platform.compose("ps", "--format", "{{.Name}}", "pool").split()) == 3
