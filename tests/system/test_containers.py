"""What docs/containers.md tells an operator to type before there are containers, and how a secret is read."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from shared.database import address_in
from tests.system.test_docs import ROOT, blocks

COMPOSE = (ROOT / "docker-compose.yml").read_text()
PROJECT = yaml.safe_load(COMPOSE)
SECRETS = set(PROJECT["secrets"])
# Settings that the pages name and no container is given.
NOT_IN_CONTAINERS = {
    "RISKPOOL_NATS_CERT": "the bus of the containers asks nobody for a certificate",
    "RISKPOOL_NATS_KEY": "likewise",
    "RISKPOOL_TOKENS": "of `riskpool scenario`, which runs outside",
    "RISKPOOL_SCREENSHOTS": "of the tests",
}


def shell(place: Path, script: str) -> dict[str, str]:
    """The secrets that are there when a block has run."""
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=place, check=True)
    return {file.name: file.read_text().strip() for file in (place / "secrets").iterdir()}


def test_one_block_makes_every_secret_once(tmp_path: Path) -> None:
    make, _ = blocks("docs/containers.md", "sh")
    made = shell(tmp_path, make)
    assert set(made) == SECRETS
    assert len({*made.values()}) == len(SECRETS)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    (tmp_path / "secrets" / "pool").unlink()
    again = shell(tmp_path, make)
    assert again.pop("pool") != made.pop("pool")
    assert again == made


def test_passwords_move_out_of_an_older_env(tmp_path: Path) -> None:
    old = {f"{name}_DB_PASSWORD": f"{name}-1" for name in ("REFERRAL", "REVIEW", "POOL", "RECOVERY", "GATEWAY")}
    old |= {"POSTGRES_PASSWORD": "owner-1", "RISKPOOL_SIGNING_KEY": "a2V5a2V5="}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in old.items()) + "GATEWAY_PORT=8080\n")
    move = next(one for one in blocks("docs/containers.md", "bash") if "POSTGRES_PASSWORD" in one)
    moved = shell(tmp_path, move)
    assert moved == {
        "postgres": "owner-1", "referral": "REFERRAL-1", "review": "REVIEW-1", "pool": "POOL-1",
        "recovery": "RECOVERY-1", "gateway": "GATEWAY-1", "signing-key": "a2V5a2V5=",
    }  # fmt: skip
    assert (tmp_path / ".env").read_text() == "GATEWAY_PORT=8080\n"
    assert shell(tmp_path, blocks("docs/containers.md", "sh")[0]).items() >= moved.items()


def test_every_setting_of_the_containers_is_explained_and_none_is_a_secret() -> None:
    example = (ROOT / ".env.example").read_text()
    settings = set(re.findall(r"\$\{(\w+)", COMPOSE))
    assert {name for name in settings if f"{name}=" not in example} == set()
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) - settings == {"COMPOSE_PROFILES"}
    assert not re.search(r"PASSWORD=|KEY=|TOKEN=", example)


def test_every_setting_that_the_pages_name_reaches_the_containers() -> None:
    pages = (ROOT / "docs").rglob("*.md")
    named = {name for page in pages for name in re.findall(r"RISKPOOL_[A-Z_]*[A-Z]\b", page.read_text())}
    overrides = [one for page in ("runbook", "containers", "traces") for one in blocks(f"docs/{page}.md", "yaml")]
    services = [one for file in (COMPOSE, *overrides) for one in yaml.safe_load(file)["services"].values()]
    built = [one["build"]["args"] for one in services if isinstance(one.get("build"), dict)]
    given = {name for one in (*(one.get("environment", ()) for one in services), *built) for name in one}
    assert named - given == NOT_IN_CONTAINERS.keys()


def test_a_drill_is_of_one_node_and_a_restore_leaves_nothing_that_remembers_more() -> None:
    tasks = blocks("docs/runbook.md", "bash")
    drill = next(one for one in tasks if "COMPOSE_PROJECT_NAME=drill" in one)
    [(exported, unset)] = re.findall(r"^export ([^\n]*)$.*^unset ([^\n]*)$", drill, re.MULTILINE | re.DOTALL)
    told = dict(one.split("=") for one in exported.split())
    assert list(told) == unset.split()
    [cluster] = blocks("docs/cluster.md", "ini")
    assert {line.split("=")[0] for line in cluster.split()} <= told.keys()
    assert (told["NODES"], told["REPLICAS"], told["COMPOSE_PROFILES"]) == ("", "1", "")
    [removed] = re.findall("^docker volume rm --force (.*)$", "\n".join(tasks), re.MULTILINE)
    kept = {"keys", "prometheus", "alertmanager", "grafana"}
    assert {one.removeprefix("riskpool_") for one in removed.split()} == PROJECT["volumes"].keys() - kept


def test_a_database_is_reached_with_the_password_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "pool"
    file.write_text("p/w@:+\n")
    monkeypatch.setenv("RISKPOOL_OWNER_URL", "postgresql+asyncpg://postgres@postgres/{service}")
    monkeypatch.setenv("RISKPOOL_DATABASE_PASSWORD", str(file))
    assert address_in("RISKPOOL_OWNER_URL", "pool") == "postgresql+asyncpg://postgres:p%2Fw%40%3A+@postgres/pool"
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", "postgresql+asyncpg://pool:own@postgres/pool")
    assert address_in("RISKPOOL_DATABASE_URL") == "postgresql+asyncpg://pool:own@postgres/pool"


def test_a_secret_that_is_missing_or_empty_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "pool"
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", "postgresql+asyncpg://pool@postgres/pool")
    monkeypatch.setenv("RISKPOOL_DATABASE_PASSWORD", str(file))
    with pytest.raises(OSError, match=str(file)):
        address_in("RISKPOOL_DATABASE_URL")
    file.write_text("\n")
    with pytest.raises(OSError, match=f"the file {file} is empty"):
        address_in("RISKPOOL_DATABASE_URL")
