"""Macros and repetition: ``play`` and ``repeat`` steps unfolded into plain steps, every date and ${…} filled in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from riskpool.scenario.text import StoryError, fill

_LATER = re.compile(r"\+\s*([0-9]+)\s*(?:d|days?)?")
_DEEPEST = 20


@dataclass(frozen=True)
class Macro:
    """A named list of steps; ``defaults`` are parameters that a play need not give."""

    steps: list[Any]
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unfolded:
    """One plain step with its date and the parameters that were known where it stands."""

    label: str
    on: date
    content: dict[str, Any]
    scope: dict[str, Any]


def read_macros(value: Any, where: str) -> dict[str, Macro]:
    """The macros of a file: a list of steps each, or ``{defaults, steps}``."""
    if not isinstance(value, dict):
        raise StoryError(f"{where}: macros names lists of steps")
    macros = {}
    for name, body in value.items():
        parts = {"steps": body} if isinstance(body, list) else body
        if (
            not isinstance(parts, dict)
            or set(parts) - {"steps", "defaults"}
            or not isinstance(parts.get("steps"), list)
        ):
            raise StoryError(f"{where}: macro {name} is a list of steps, or has defaults and steps")
        macros[str(name)] = Macro(parts["steps"], parts.get("defaults") or {})
    return macros


def unfold(steps: list[Any], macros: dict[str, Macro]) -> list[Unfolded]:
    """Every step of a story in order, with macros played and repetitions written out."""
    return list(_Unfolding(macros).steps(steps, {}, "", 0))


class _Unfolding:
    """Walks the steps and remembers the business date that the last one stood on."""

    def __init__(self, macros: dict[str, Macro]) -> None:
        self.macros = macros
        self.on: date | None = None

    def steps(self, steps: list[Any], scope: dict[str, Any], prefix: str, depth: int) -> Iterator[Unfolded]:
        for place, step in enumerate(steps, 1):
            yield from self.step(step, scope, f"{prefix}{place}", depth)

    def step(self, step: Any, scope: dict[str, Any], label: str, depth: int) -> Iterator[Unfolded]:
        where = f"step {label}"
        if not isinstance(step, dict):
            raise StoryError(f"{where}: a step is a mapping such as {{on: 2026-01-05, by: drc, do: …, with: {{…}}}}")
        if depth > _DEEPEST:
            raise StoryError(f"{where}: macros play each other without end")
        turns = _turns(fill(step.get("repeat", 1), scope, where), where)
        body = {key: value for key, value in step.items() if key != "repeat"}
        for n, item in enumerate(turns, 1):
            inner = {**scope, "n": n, "item": item} if "repeat" in step else scope
            yield from self.one(body, inner, f"{label}#{n}" if "repeat" in step else label, depth)

    def one(self, step: dict[str, Any], scope: dict[str, Any], label: str, depth: int) -> Iterator[Unfolded]:
        where = f"step {label}"
        self.on = self.day(fill(step.get("on"), {**scope, "on": self.on}, where), where)
        content = fill({key: value for key, value in step.items() if key != "on"}, {**scope, "on": self.on}, where)
        if "play" not in content:
            yield Unfolded(label, self.on, content, scope)
            return
        if set(content) - {"play", "with"}:
            raise StoryError(f"{where}: a play step has on, play, with and repeat")
        macro, given = self.macros.get(content["play"]), content.get("with") or {}
        if macro is None:
            raise StoryError(
                f"{where}: there is no macro {content['play']} (known: {', '.join(self.macros) or 'none'})"
            )
        inside = {**given, "on": self.on}
        for name, value in macro.defaults.items():
            inside.setdefault(name, fill(value, inside, where))
        yield from self.steps(macro.steps, inside, f"{label} {content['play']}.", depth + 1)

    def day(self, value: Any, where: str) -> date:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if value is None and self.on is not None:
            return self.on
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return self.day_from_text(str(value), where)
        raise StoryError(f"{where}: on is missing or not a date: 2026-01-05, or +3 for three days later")

    def day_from_text(self, text: str, where: str) -> date:
        later = _LATER.fullmatch(text) or re.fullmatch(r"([0-9]{1,5})", text)
        if later and self.on is not None:
            return self.on + timedelta(days=int(later[1]))
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise StoryError(f"{where}: on: {text!r} is not a date (2026-01-05) or a number of days (+3)") from None


def _turns(value: Any, where: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1000:
        return list(range(1, value + 1))
    raise StoryError(f"{where}: repeat is a number from 1 to 1000 or a list of values")
