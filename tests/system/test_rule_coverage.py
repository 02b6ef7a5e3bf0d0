"""Every rule of the scheme is named by a story or a test."""

import re
from pathlib import Path

import pytest

from shared.scheme.loader import load_scheme

ROOT = Path(__file__).parents[2]
DESIGN = ROOT.parent / "shared" / "design" / "scheme.md"
_ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def rule_ids() -> list[str]:
    designed = _ROW.findall(DESIGN.read_text(encoding="utf-8")) if DESIGN.exists() else []
    return sorted({*designed, *load_scheme("yanqing").rules})


def named() -> str:
    files = [*(ROOT / "riskpool" / "scenarios").rglob("*.yaml"), *(ROOT / "tests").rglob("*.py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file != Path(__file__))


@pytest.mark.parametrize("rule", rule_ids())
def test_a_story_or_a_test_names_the_rule(rule: str) -> None:
    word = re.compile(rf"(?<![\w.]){re.escape(rule)}(?![\w.]*\w)" if "." in rule else rf"\b{rule}\b")
    assert word.search(named()), f"no story of riskpool/scenarios and no test names {rule}"
