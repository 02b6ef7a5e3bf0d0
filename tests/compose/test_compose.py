"""The container files as they are shipped: built, brought up, and driven through the one port they publish."""

import json
import sys
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskpool.demo import STORY
from riskpool.scenario.embedded import organisations_of
from riskpool.scenario.story import load_story
from riskpool.services import SERVICES
from tests.compose.conftest import PORT, PROMETHEUS_PORT, ROOT, Platform
from tests.conftest import eventually
from tests.system.test_docs import blocks

pytestmark = pytest.mark.compose

SERVERS = ("nats", "postgres")
NODES = ("nats", "nats-2", "nats-3")
OPS = ("exporter", "prometheus", "alertmanager")


def test_nothing_starts_without_its_secrets(engine: Platform) -> None:
    with pytest.raises(AssertionError, match=r"does not exist: .*/secrets/\w+"):
        engine.compose("up", "--wait", "postgres")


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


def test_no_secret_can_be_seen_from_outside(platform: Platform) -> None:
    seen = platform.inside("docker", "inspect", *platform.compose("ps", "--all", "--quiet").split())
    assert "RISKPOOL_DATABASE_PASSWORD=/run/secrets/pool" in seen
    assert [file.name for file in (platform.place / "secrets").iterdir() if file.read_text().strip() in seen] == []


def test_no_container_takes_the_whole_machine_and_none_may_do_more_than_it_must(platform: Platform) -> None:
    everyone = json.loads(platform.inside("docker", "inspect", *platform.compose("ps", "--all", "--quiet").split()))
    hosts = {one["Config"]["Labels"]["com.docker.compose.service"]: one["HostConfig"] for one in everyone}
    assert {"keys", "postgres", "nats", *(f"migrate-{name}" for name in SERVICES)} <= hosts.keys()
    assert [name for name, host in hosts.items() if not host["Memory"] or not host["PidsLimit"]] == []
    assert [name for name, host in hosts.items() if not host["ReadonlyRootfs"] or host["CapDrop"] != ["ALL"]] == []
    assert [name for name, host in hosts.items() if host["CapAdd"]] == ["postgres"]


def test_what_the_alerts_have_one_look_at_can_be_looked_at(platform: Platform) -> None:
    [look] = blocks("docs/alerts.md", "bash")
    seen = platform.shell(look)
    assert all(told in seen for told in ("wait_event_type", '{"ready":true', '{"status":"ok"}'))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_no_root_and_cannot_change_its_image(platform: Platform, service: str) -> None:
    assert platform.compose("exec", "-T", service, "id", "-u").strip() != "0"
    with pytest.raises(AssertionError, match="Read-only file system"):
        platform.compose("exec", "-T", service, "touch", "/app/changed")


def test_the_image_itself_says_who_runs_in_it_how_it_ends_and_when_it_is_well(platform: Platform) -> None:
    [image] = json.loads(platform.inside("docker", "image", "inspect", "riskpool:local"))
    config = image["Config"]
    assert (config["User"], config["StopSignal"], config["Healthcheck"]["Test"][0]) == ("10001:10001", "SIGTERM", "CMD")


def test_nothing_can_be_installed_in_the_image(platform: Platform) -> None:
    with pytest.raises(AssertionError, match="No module named pip"):
        platform.compose("exec", "-T", "gateway", "python", "-m", "pip", "--version")
    look = "command -v apt apt-get dpkg dpkg-deb || echo none"
    assert platform.compose("exec", "-T", "gateway", "sh", "-c", look).strip() == "none"
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
    eventually(lambda: targets(platform) == Counter((name, "up") for name in (*SERVICES, "exporter:9108")), 60)


def targets(platform: Platform) -> Counter[tuple[str, str]]:
    """How many targets of each service, or address of none, are in which health."""
    told = asked(platform, f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/targets?state=active")
    labelled = [(one["labels"], one["health"]) for one in told["data"]["activeTargets"]]
    return Counter((labels.get("service", labels["instance"]), health) for labels, health in labelled)


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
        platform.compose("stop", "--timeout", "60", name)
        assert platform.state()[name]["ExitCode"] != 137, f"{name} had to be killed"
        platform.compose("start", name)
    platform.compose("up", "--wait", "--wait-timeout", "120")
    assert books(platform) == before


def test_a_service_that_stopped_is_told_as_down(platform: Platform) -> None:
    """Its name is gone, or asked for in vain: which of the two is the engine's affair."""

    def told() -> bool:
        found = asked(platform, f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/alerts")["data"]["alerts"]
        down = {one["labels"]["service"] for one in found if one["labels"]["alertname"] == "RiskpoolServiceDown"}
        return down == {"recovery"}

    platform.compose("stop", "recovery")
    eventually(told, 120)
    platform.compose("up", "--wait", "--wait-timeout", "120")


def test_an_older_postgresql_is_given_the_database_of_keycloak(platform: Platform) -> None:
    ask = ("exec", "-T", "postgres", "psql", "-U", "postgres", "-h", "/var/run/postgresql", "-At", "-c")
    platform.compose(*ask, "drop database keycloak", "-c", "drop role keycloak")
    *_, make = blocks("docs/containers.md", "bash")
    platform.shell(make)
    assert "keycloak" in platform.compose(*ask, "select datname from pg_database").split()


def test_three_pools_keep_one_set_of_books(platform: Platform, tmp_path: Path) -> None:
    before = books(platform)
    platform.compose("up", "--wait", "--wait-timeout", "120", "--scale", "pool=3")
    assert credit(platform, "three", PORT) == ["accepted"] * 200
    after = books(platform)
    assert Decimal(after["balance"]) - Decimal(before["balance"]) == 2
    assert len(platform.compose("ps", "--format", "{{.Name}}", "pool").split()) == 3
    eventually(lambda: targets(platform)["pool", "up"] == 3, 60)


def credit(platform: Platform, name: str, *ports: int) -> list[str]:
    """The outcomes of 200 credits of a fen, sent by 16 threads to the gateways in turn, again until they are known."""
    create = ("exec", "-T", "gateway", "python", "-m", "riskpool", "token", "create", "custodian")
    send = """
import concurrent.futures, json, sys, time, urllib.request as u
token, name, *ports = sys.argv[1:]
def one(n):
    url = f"http://127.0.0.1:{ports[n % len(ports)]}/v1/schemes/yanqing/partner-events/IncomeCredited"
    body = json.dumps({"amount": "0.01", "period": "2027Q1", "bank_ref": f"{name}-{n}"}).encode()
    head = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    head["Idempotency-Key"] = f"{name}-{n}"
    head["Riskpool-Time"] = "2027-02-01"
    for _ in range(60):
        try:
            if outcome := json.load(u.urlopen(u.Request(url, body, head))).get("outcome"):
                return outcome
        except OSError:
            pass
        time.sleep(0.5)
    return "unknown"
print(json.dumps(list(concurrent.futures.ThreadPoolExecutor(16).map(one, range(200)))))
"""
    token = platform.compose(*create).strip()
    outcomes: list[str] = json.loads(platform.inside(sys.executable, "-c", send, token, name, *map(str, ports)))
    return outcomes


def test_a_fund_moves_to_three_nodes_and_keeps_its_books_when_one_of_them_stops(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = books(platform)
    [settings] = blocks("docs/cluster.md", "ini")
    told = dict(line.split("=") for line in settings.split())
    assert told.pop("GATEWAY_PORT") == "8080-8081"
    told["GATEWAY_PORT"] = f"{PORT}-{PORT + 1}"
    monkeypatch.setattr(platform, "environment", platform.environment | told)
    platform.compose("up", "--wait", "--wait-timeout", "180")
    with ThreadPoolExecutor() as threads:
        credits = threads.submit(credit, platform, "cluster", PORT, PORT + 1)
        time.sleep(1)
        platform.compose("stop", "nats")
        assert credits.result() == ["accepted"] * 200
    assert platform.state()["nats"]["State"] == "exited"
    after = books(platform)
    assert Decimal(after["balance"]) - Decimal(before["balance"]) == 2
    platform.compose("start", "nats")
    platform.compose("up", "--wait", "--wait-timeout", "120")
    assert {name: platform.state()[name]["Health"] for name in NODES} == dict.fromkeys(NODES, "healthy")
    assert books(platform) == after
    for service in SERVICES:
        assert len(platform.compose("ps", "--format", "{{.Name}}", service).split()) == 2
