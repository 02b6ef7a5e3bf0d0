"""The manifests are what Kubernetes takes, and docs/kubernetes.md makes what they ask for; no cluster is here."""

import copy
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError, latest_version, validate

from riskpool.services import SERVICES
from tests.monitoring.conftest import binary
from tests.system.test_docs import blocks

ROOT = Path(__file__).parents[2]
VERSIONS = ("1.30", latest_version())


def items() -> Iterator[dict[str, Any]]:
    for file in sorted((ROOT / "ops" / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield from document["items"] if document["kind"] == "List" else [document]


MANIFESTS = {f"{one['kind']} {one['metadata']['name']}": one for one in items()}
SPECS = {name: one["spec"].get("jobTemplate", one)["spec"] for name, one in MANIFESTS.items() if "spec" in one}
PODS = {name: spec["template"]["spec"] for name, spec in SPECS.items() if "template" in spec}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_one_of_kubernetes(name: str, version: str) -> None:
    validate(MANIFESTS[name], version, strict=True)


@pytest.mark.parametrize("wrong", [{"replica": 2}, {"replicas": "two"}, {"strategy": {"kind": "Recreate"}}])
def test_a_wrong_field_is_found(wrong: dict[str, Any]) -> None:
    manifest = copy.deepcopy(MANIFESTS["Deployment pool"])
    manifest["spec"] |= wrong
    with pytest.raises(ValidationError):
        validate(manifest, VERSIONS[-1], strict=True)


def test_no_name_is_given_twice_and_all_is_in_one_namespace() -> None:
    assert len(MANIFESTS) == len(list(items()))
    elsewhere = {name for name, one in MANIFESTS.items() if one["metadata"].get("namespace") != "riskpool"}
    assert elsewhere == {"Namespace riskpool"}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_no_root_and_changes_nothing_but_its_data(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert not pod["automountServiceAccountToken"]
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"requests", "limits"} == container["resources"].keys()
    assert {one["name"] for one in container["volumeMounts"]} <= {
        one["name"] for one in (*pod["volumes"], {"name": "data"})
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_as_in_compose_and_is_asked_how_it_is(service: str) -> None:
    [container] = PODS[f"Deployment {service}"]["containers"]
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]
    assert [*container["command"], *container["args"]] == composed["command"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    several = MANIFESTS[f"Deployment {service}"]["spec"]["replicas"] > 1
    assert several == (f"PodDisruptionBudget {service}" in MANIFESTS) == (service != "gateway")


def test_upkeep_runs_as_the_runbooks_cron_does() -> None:
    table = (ROOT / "docs" / "runbook.md").read_text()
    for name in ("backup", "audit"):
        spec = MANIFESTS[f"CronJob {name}"]["spec"]
        [container] = PODS[f"CronJob {name}"]["containers"]
        [line] = re.findall(rf"^(.+) cd CHECKOUT && .* (python -m riskpool {name}.*)$", table, re.MULTILINE)
        command = " ".join(container["command"]).removeprefix("sh -c exec ")
        assert (spec["schedule"], command) == (line[0], line[1].replace(r"\%", "%"))


def test_the_exporter_runs_as_in_compose_at_the_port_that_prometheus_may_reach() -> None:
    [container] = PODS["Deployment exporter"]["containers"]
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["exporter"]
    assert [*container["command"], *container["args"]] == [*composed["command"], "--port", "8000"]
    assert MANIFESTS["Deployment exporter"]["spec"]["template"]["metadata"]["labels"]["bus"] == "yes"


def test_the_pages_jobs_of_prometheus_are_those_that_the_rules_name(tmp_path: Path) -> None:
    page, shipped = (ROOT / "docs" / "kubernetes.md").read_text(), ROOT / "ops" / "prometheus" / "prometheus.yml"
    [told] = re.findall(r"^  ```yaml\n(.*?)^  ```$", page, re.DOTALL | re.MULTILINE)
    jobs = {job["job_name"]: job for job in yaml.safe_load(told)["scrape_configs"]}
    assert list(jobs) == [job["job_name"] for job in yaml.safe_load(shipped.read_text())["scrape_configs"]]
    keep, name = jobs["riskpool"]["relabel_configs"]
    assert set(keep["regex"].split("|")) == set(SERVICES) and name["target_label"] == "service"
    token, file = tmp_path / "metrics-token", tmp_path / "prometheus.yml"
    token.write_text("secret")
    here = re.sub("kubernetes_sd_configs: .*", "static_configs: [{targets: [here]}]", dedent(told))  # Debian's has none
    file.write_text(here.replace("/etc/prometheus/metrics-token", str(token)))
    subprocess.run([binary("promtool"), "check", "config", str(file)], check=True, capture_output=True)


def references(node: Any) -> Iterator[tuple[str, str, str]]:
    """Every Secret and ConfigMap that must be there, with the key where one is named."""
    if isinstance(node, list):
        for one in node:
            yield from references(one)
    elif isinstance(node, dict):
        for word in ("secretKeyRef", "configMapKeyRef", "secretRef", "configMapRef", "secret", "configMap"):
            if (told := node.get(word)) and not told.get("optional"):
                kind = "secret" if word.startswith("secret") else "configmap"
                for key in (told.get("key", ""), *(item["key"] for item in told.get("items", ()))):
                    yield kind, told.get("name") or told["secretName"], key
        for one in node.values():
            yield from references(one)


KUBECTL = r"""#!/usr/bin/env python3
import os, pathlib, sys
words, made = sys.argv[1:], []
for word in words:
    option, _, file = word.partition("=")
    if option == "--from-file":
        found = pathlib.Path(file)
        made += [one.name for one in (found.iterdir() if found.is_dir() else [found.resolve(strict=True)])]
    elif option == "--from-env-file":
        made += [line.partition("=")[0] for line in pathlib.Path(file).read_text().splitlines()]
for number, word in enumerate(words):
    if word == "-f":
        assert pathlib.Path(words[number + 1]).exists(), word
with open("told", "a") as told:
    print(*words, "#", *made, file=told)
"""


def test_the_pages_commands_make_what_the_manifests_ask_for(tmp_path: Path) -> None:
    """Run as printed, with a kubectl that only notes what it is told."""
    for name, text in (("kubectl", KUBECTL), ("riskpool", f'#!/bin/sh\nexec "{sys.executable}" -m riskpool "$@"\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "ops").symlink_to(ROOT / "ops")
    (tmp_path / "database-owner.env").write_text("url=postgresql+asyncpg://o:p@h/{service}\n")
    (tmp_path / "databases.env").write_text("".join(f"{name}=postgresql+asyncpg://…\n" for name in SERVICES))
    [script] = blocks("docs/kubernetes.md", "sh")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)
    made: dict[tuple[str, str], set[str]] = {("configmap", "settings"): set()}
    for line in (tmp_path / "told").read_text().splitlines():
        words, _, keys = line.partition("#")
        told = shlex.split(words)
        if "create" in told:
            kind, *rest = told[told.index("create") + 1 :]
            made[kind, rest[1] if kind == "secret" else rest[0]] = set(keys.split())
    asked = set(references(list(PODS.values())))
    assert {(kind, name) for kind, name, _ in asked} <= made.keys()
    assert [one for one in asked if one[2] and one[2] not in made[one[:2]]] == []
    applied = (tmp_path / "told").read_text()
    assert all(f"-f ops/kubernetes/{file.name}" in applied for file in (ROOT / "ops" / "kubernetes").glob("*.yaml"))
    assert not any(one["kind"] == "Secret" for one in MANIFESTS.values())
