"""The shipped scheme file says what the design says, setting by setting and rule by rule."""

import json
import re
from pathlib import Path

import pytest

from shared.scheme.loader import load_scheme

ROOT = Path(__file__).parents[2]
DESIGN = ROOT.parent / "shared" / "design" / "scheme.md"
CODE = re.compile(r"`([^`]+)`")
CHOICES = {"net", "gross", "in_full", "hold", "organisations"}

with_design = pytest.mark.skipif(not DESIGN.is_file(), reason="the design is not beside the repository")


def _rows() -> list[list[str]]:
    lines = DESIGN.read_text(encoding="utf-8").split("## 8.")[0].splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]


def _settings() -> list[str]:
    text = DESIGN.read_text(encoding="utf-8").split("## 7.")[0]
    cells = [line.rstrip().removesuffix("|").split("|")[-1] for line in text.splitlines() if line.startswith("| `")]
    return [token for cell in cells for token in CODE.findall(cell) if token not in CHOICES]


@with_design
def test_every_rule_of_the_design_stands_in_the_scheme_file() -> None:
    rules = load_scheme("yanqing").rules
    wanted = {CODE.findall(row[0])[0] for row in _rows()}
    assert len(wanted) > 60
    assert wanted - set(rules) == set()


@with_design
def test_every_setting_of_the_design_stands_in_the_scheme_file_with_its_default() -> None:
    scheme = load_scheme("yanqing")
    tokens = _settings()
    assert len(tokens) > 30
    for token in tokens:
        key, _, default = token.partition("=")
        value = scheme.value(key)
        if default:
            shown = json.dumps(value, default=str) if isinstance(value, list | bool) else str(value)
            assert shown.strip('"') == default.strip('"'), key


def test_every_rule_has_a_clause_and_a_title_in_both_languages() -> None:
    for rule in load_scheme("yanqing").rules.values():
        assert re.match(r"[一二三四五六]", rule.clause), rule
        assert rule.zh and rule.en, rule
        assert not re.search(r"[一-鿿]", rule.en), rule


def test_every_reading_is_listed_for_confirmation() -> None:
    listed = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8")
    for setting in load_scheme("yanqing").settings.values():
        if setting.reading:
            assert f"`{setting.key}`" in listed, setting.key


def test_the_eighteen_townships_and_five_departments_may_refer() -> None:
    kinds = [organisation.kind for organisation in load_scheme("yanqing").organisations.values()]
    assert (kinds.count("township"), kinds.count("department")) == (18, 5)
