"""Grafana dashboards as data: a dashboard is rows of panels, a panel is queries in words that Grafana draws."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

COLUMNS = 24
HEIGHTS = {"row": 1, "stat": 4, "timeseries": 8, "table": 8}
SOURCE = {"type": "prometheus", "uid": "riskpool-prometheus"}
YUAN = "riskpool-yuan"
Draw = Literal["stat", "timeseries", "table"]


@dataclass(frozen=True)
class Query:
    """One query; ``legend`` names its lines by their labels, as ``{{service}}``."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """What is shown under one title. ``unit`` is Grafana's, or YUAN for amounts in yuan; ``width`` of 24 columns.

    ``may_be_empty`` says why its queries may find nothing on a deployment where all is well.
    """

    title: str
    queries: Sequence[Query]
    draw: Draw = "timeseries"
    unit: str = "short"
    width: int = 8
    told: str = ""
    may_be_empty: str = ""
    good_below: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """Rows of panels; ``variables`` are label names to choose from, each with the query that lists its values."""

    uid: str
    title: str
    told: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[tuple[str, str]] = ()
    since: str = "now-24h"
    tags: Sequence[str] = field(default=("riskpool",))

    @property
    def panels(self) -> list[Panel]:
        """All panels, in order."""
        return [panel for _, row in self.rows for panel in row]

    def json_text(self) -> str:
        """The dashboard as Grafana's provisioning reads it."""
        document = {
            "uid": self.uid,
            "title": self.title,
            "description": self.told,
            "tags": list(self.tags),
            "schemaVersion": 39,
            "version": 1,
            "editable": False,
            "timezone": "Asia/Shanghai",
            "refresh": "30s",
            "time": {"from": self.since, "to": "now"},
            "templating": {"list": [_variable(name, query) for name, query in self.variables]},
            "panels": _placed(self.rows),
        }
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def _placed(rows: Sequence[tuple[str, Sequence[Panel]]]) -> list[dict[str, Any]]:
    """Every panel with its place: left to right, a new line where the next does not fit."""
    placed: list[dict[str, Any]] = []
    top = 0
    for title, panels in rows:
        placed.append(_row(len(placed) + 1, title, top))
        top += HEIGHTS["row"]
        left = height = 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            place = {"x": left, "y": top, "w": panel.width, "h": HEIGHTS[panel.draw]}
            placed.append(_panel(len(placed) + 1, panel, place))
            left, height = left + panel.width, max(height, HEIGHTS[panel.draw])
        top += height
    return placed


def _row(number: int, title: str, top: int) -> dict[str, Any]:
    return {
        "id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
        "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": HEIGHTS["row"]},
    }  # fmt: skip


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.draw != "timeseries"
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.good_below is not None:
        steps.append({"color": "red", "value": panel.good_below})
    defaults: dict[str, Any] = {"thresholds": {"mode": "absolute", "steps": steps}}
    defaults |= {"unit": "currencyCNY", "decimals": 2} if panel.unit == YUAN else {"unit": panel.unit}
    return {
        "id": number,
        "type": panel.draw,
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.draw],
        "targets": [_target(chr(ord("A") + place), query, instant) for place, query in enumerate(panel.queries)],
    }


def _target(letter: str, query: Query, instant: bool) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "time_series",
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "colorMode": "value", "graphMode": "none", "textMode": "auto", "justifyMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}  # fmt: skip
