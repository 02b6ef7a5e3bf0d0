"""Every panel's query finds something on a live Prometheus that scrapes a stack on which a story was played."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from riskpool.dashboards.command import DASHBOARDS, PLACE
from riskpool.dashboards.panels import Panel
from tests.monitoring.conftest import ROOT, House, Prometheus, binary, configuration

PROVISIONING = ROOT / "ops" / "grafana" / "provisioning"
PANELS = [(board, panel) for board in DASHBOARDS for panel in board.panels]


@pytest.fixture(scope="module")
def prometheus(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    running = Prometheus(directory, configuration(house, directory))
    try:
        running.until_scraped(6)
        time.sleep(7)  # a rate needs two points
        yield running
    finally:
        running.stop()


def expression(panel: Panel, number: int = 0) -> str:
    asked = panel.queries[number].expression.replace("$__rate_interval", "1m")
    return re.sub(r"\$[a-z]+", ".*", asked)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[f"{b.uid}: {p.title}" for b, p in PANELS])
def test_a_panel_finds_something(prometheus: Prometheus, board: object, panel: Panel) -> None:
    for number in range(len(panel.queries)):
        found = prometheus.value(expression(panel, number))
        assert found or panel.may_be_empty, expression(panel, number)
        assert "NaN" not in {one["value"][1] for one in found} or "histogram_quantile" in expression(panel, number)


def test_the_fund_is_shown_in_yuan(prometheus: Prometheus) -> None:
    balance = next(panel for _, panel in PANELS if "Available balance" in panel.title)
    assert [one["value"][1] for one in prometheus.value(expression(balance))] == ["29000000"]


def test_every_variable_lists_something(prometheus: Prometheus) -> None:
    for board in DASHBOARDS:
        for name, query in board.variables:
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
            assert label == name and prometheus.ask(f"label/{label}/values", **{"match[]": metric})


def test_the_files_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, "-m", "riskpool", "dashboards", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_dashboard_holds_together() -> None:
    """What Grafana refuses or draws wrongly: a panel twice, panels on each other, a data source that is not there."""
    [source] = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    for file in PLACE.glob("*.json"):
        board = json.loads(file.read_text())
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken and max(x for x, _ in cells) < 24
            taken |= cells
            assert panel["type"] == "row" or panel["datasource"]["uid"] == source["uid"]


def test_every_metric_of_a_panel_is_explained() -> None:
    known = set(re.findall(r"riskpool_[a-z_]+", (ROOT / "docs" / "metrics.md").read_text()))
    asked = {name for _, p in PANELS for q in p.queries for name in re.findall(r"riskpool_[a-z_]+", q.expression)}
    assert len(asked) > 20
    families = {re.sub(r"_bucket$", "", name) for name in asked if not re.match(r"riskpool_fund_\w+_fen$", name)}
    assert families <= known and "riskpool_fund_" in known


def test_the_shipped_configuration_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "ops" / "prometheus" / "prometheus.yml").read_text()
    token = tmp_path / "metrics-token"
    token.write_text("secret")
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/metrics-token", str(token)))
    (tmp_path / "alerts.yml").write_text((ROOT / "ops" / "prometheus" / "alerts.yml").read_text())
    for command in (
        [binary("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
        [binary("amtool"), "check-config", str(ROOT / "ops" / "alertmanager" / "alertmanager.yml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
