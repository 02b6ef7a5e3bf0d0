"""The sentence that says what was refused and what to do: one for each rule and reason, in Chinese and English."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from shared.scheme.loader import SHIPPED, Rule, Scheme, load_scheme

Language = Literal["zh", "en"]
DIRECTORY = Path(__file__).parent / "refusals"
PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@cache
def sentences() -> dict[str, dict[str, str]]:
    """Every sentence by ``rule`` or ``rule/reason``, from all files of the room."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(DIRECTORY.glob("*.toml")):
        found.update(tomllib.loads(file.read_text(encoding="utf-8")))
    return found


@cache
def _shipped_rules() -> dict[str, Rule]:
    return load_scheme(SHIPPED / "yanqing.toml").rules


def _template(rule: str, reason: str, language: Language, scheme: Scheme | None) -> str:
    known = sentences()
    for key in (f"{rule}/{reason}", rule):
        if text := known.get(key, {}).get(language):
            return text
    title = (scheme.rules if scheme else _shipped_rules()).get(rule)
    if title is None:
        return rule
    return title.zh if language == "zh" else title.en


def explain(
    rule: str,
    reason: str = "",
    figures: Mapping[str, str] | None = None,
    language: Language = "zh",
    scheme: Scheme | None = None,
) -> str:
    """The sentence for a refusal; without one the rule's title in that scheme (else the shipped one), else its id.

    ``{name}`` is filled from ``figures``; a figure that was not given shows as a dash, never as an error.
    """
    values = figures or {}
    return PLACEHOLDER.sub(lambda hit: str(values.get(hit[1], "—")), _template(rule, reason, language, scheme))
