"""Every alert fires when its cause is made on a real stack, and reaches its webhook through Alertmanager."""

import contextlib
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.conftest import eventually
from tests.monitoring.alarms import ALERTS, RULES, SCHEME, Alarmed
from tests.monitoring.causes import CAUSES
from tests.monitoring.conftest import ROOT, SCENARIOS, House, binary
from tests.system.conftest import _further_stacks


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alarmed]:
    binary("prometheus")
    scheme = str(SCENARIOS / "schemes" / "stop-loss.toml")
    with _further_stacks() as start, contextlib.ExitStack() as ending:
        stack = start("alarmed", "--free-ports", "--clock", "message", "--scheme", scheme).until_ready()
        house = House(stack, SCHEME)
        ending.callback(house.exporter.stop)
        made = Alarmed(house, tmp_path_factory.mktemp("alarmed"))
        ending.callback(made.stop)
        made.prometheus.until_scraped(6)
        made.webhook.told.discard(("operators", "RiskpoolServiceDown"))  # before the first look none was there
        yield made


def test_every_alert_has_a_cause_here_and_a_case_for_promtool() -> None:
    cases = yaml.safe_load((RULES.parent / "alerts.test.yml").read_text())["tests"]
    assert CAUSES.keys() == ALERTS.keys()
    assert ALERTS.keys() <= {case.get("name") for case in cases}


def test_the_rules_pass_promtools_cases() -> None:
    command = [binary("promtool"), "test", "rules", "alerts.test.yml"]
    done = subprocess.run(command, cwd=RULES.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_to_do(alert: str) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    for part in ("**Means.**", "**Look.**", "**Do.**"):
        assert part in sections[alert], f"{alert}: {part}"
    assert ALERTS[alert]["annotations"]["runbook"] == f"docs/alerts.md#{alert.lower()}"
    assert sections.keys() == ALERTS.keys()


@pytest.mark.parametrize("audience", ["operators", "commission"])
def test_the_trial_of_the_runbook_reaches_its_webhook(alarmed: Alarmed, audience: str) -> None:
    page = " ".join((ROOT / "docs" / "runbook.md").read_text().split())
    printed = re.search(r"`docker compose exec alertmanager (amtool [^`]+)`", page)
    assert printed is not None
    words = printed[1].replace("127.0.0.1:9093", alarmed.alertmanager_address).replace("commission", audience).split()
    subprocess.run([binary("amtool"), *words[1:]], check=True, capture_output=True)
    eventually(lambda: (audience, "Trial") in alarmed.webhook.told)


@pytest.mark.parametrize("alert", CAUSES)
def test_an_alert_reaches_its_webhook_when_its_cause_is_made(alarmed: Alarmed, alert: str) -> None:
    with CAUSES[alert](alarmed):
        alarmed.until_told(alert, 60)
