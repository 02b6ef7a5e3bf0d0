"""A scenario file: its steps, macros and defaults, checked and unfolded into a flat list of steps."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from riskpool.scenario.text import StoryError, fill, plain, read_yaml
from riskpool.scenario.unfold import Macro, Unfolded, read_macros, unfold
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS

__all__ = ["Step", "Story", "StoryError", "load_story", "story_of"]

_REMARKS = {"title", "name", "description", "note"}
_STORY_KEYS = _REMARKS | {"scheme", "custodian", "use", "defaults", "macros", "steps"}
_DO_KEYS = _REMARKS | {"on", "by", "do", "with", "refused", "outcome", "saying", "match"}
_OUTCOMES = ("accepted", "refused", "duplicate", "unreadable")
_EXPECT_KEYS = _REMARKS | {"on", "expect", "match", "status", "by"}


@dataclass(frozen=True)
class Step:
    """One line of a story; ``label`` is where it stands in the file, ``number`` its place among all unfolded steps."""

    number: int
    label: str
    on: date
    by: str = ""
    do: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    outcome: str = ""
    saying: str = ""
    expect: str = ""
    match: Any = None
    status: int = 0

    def __str__(self) -> str:
        what = f"expect {self.expect}" if self.expect else f"{self.by} {self.do}".strip() or "the day begins"
        return f"step {self.label} ({self.on}): {what}"


@dataclass(frozen=True)
class Story:
    """A checked story; ``scheme_file`` is set when ``scheme`` names a file beside the story."""

    path: Path
    title: str
    scheme: str
    scheme_file: Path | None
    custodian: str
    steps: tuple[Step, ...]


def load_story(path: Path) -> Story:
    """The story in a file, checked; StoryError says what is wrong and where."""
    try:
        document = read_yaml(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise StoryError(f"{path} cannot be read: {error}") from error
    return story_of(document, path)


def story_of(document: Any, path: Path) -> Story:
    """A story from what its file holds; what it uses stands beside ``path``."""
    _check_keys(document, _STORY_KEYS, path.name)
    macros, defaults = _shared_parts(document, path)
    scheme, scheme_file = _scheme(document, path)
    steps = document.get("steps")
    if not isinstance(steps, list) or not steps:
        raise StoryError(f"{path.name}: steps must be a list with at least one step")
    custodian = document.get("custodian", "manual")
    if custodian not in ("auto", "manual"):
        raise StoryError(f"{path.name}: custodian is auto or manual, not {custodian!r}")
    checked = _checked(unfold(steps, macros), defaults)
    title = str(document.get("title", path.stem))
    return Story(path, title, scheme, scheme_file, _custodian_id(custodian, checked), checked)


def _check_keys(document: Any, known: set[str], where: str) -> None:
    if not isinstance(document, dict):
        raise StoryError(f"{where}: a mapping is needed here, not {type(document).__name__}")
    unknown = [str(key) for key in document if key not in known]
    if unknown:
        raise StoryError(f"{where}: unknown key {', '.join(unknown)} (known: {', '.join(sorted(known))})")


def _shared_parts(document: dict[str, Any], path: Path) -> tuple[dict[str, Macro], dict[str, dict[str, Any]]]:
    macros: dict[str, Macro] = {}
    defaults: dict[str, dict[str, Any]] = {}
    used = document.get("use", [])
    for name in used if isinstance(used, list) else [used]:
        file = path.parent / str(name)
        if not file.is_file():
            raise StoryError(f"{path.name}: use: there is no file {name} beside the story")
        part = read_yaml(file.read_text(encoding="utf-8"), file.name)
        _check_keys(part, {"defaults", "macros"}, file.name)
        macros |= read_macros(part.get("macros", {}), file.name)
        defaults |= _defaults(part.get("defaults", {}), file.name)
    own = _defaults(document.get("defaults", {}), path.name)
    merged = {name: defaults.get(name, {}) | own.get(name, {}) for name in defaults | own}
    return macros | read_macros(document.get("macros", {}), path.name), merged


def _defaults(value: Any, where: str) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(fields, dict) for fields in value.values()):
        raise StoryError(f"{where}: defaults names fields by message: defaults: {{ReferEnterprise: {{region: …}}}}")
    for name in value:
        if name not in COMMANDS and name not in PARTNER_EVENTS:
            raise StoryError(f"{where}: defaults: there is no command or partner event {name}")
    return value


def _scheme(document: dict[str, Any], path: Path) -> tuple[str, Path | None]:
    scheme = document.get("scheme")
    if not isinstance(scheme, str) or not scheme:
        raise StoryError(f"{path.name}: scheme is missing: an id, or the path of a scheme file beside the story")
    if not scheme.endswith(".toml") and "/" not in scheme:
        return scheme, None
    file = (path.parent / scheme).resolve()
    if not file.is_file():
        raise StoryError(f"{path.name}: scheme: there is no file {scheme} beside the story")
    return "", file


def _checked(unfolded: list[Unfolded], defaults: dict[str, dict[str, Any]]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for raw in unfolded:
        step = _step(len(steps) + 1, raw, defaults)
        if steps and step.on < steps[-1].on:
            raise StoryError(f"step {step.label}: {step.on} is before {steps[-1].on}, the date of the step before it")
        steps.append(step)
    return tuple(steps)


def _step(number: int, raw: Unfolded, defaults: dict[str, dict[str, Any]]) -> Step:
    where, content = f"step {raw.label}", raw.content
    if "expect" in content:
        return _expectation(number, raw, where)
    _check_keys(content, _DO_KEYS, where)
    if "do" not in content:
        if set(content) - _REMARKS - {"on"}:
            raise StoryError(f"{where}: a step has do (with by), expect or play")
        return Step(number, raw.label, raw.on)
    name, by = content["do"], content.get("by")
    if name not in COMMANDS and name not in PARTNER_EVENTS:
        raise StoryError(f"{where}: there is no command or partner event {name}")
    if not isinstance(by, str) or not by:
        raise StoryError(f"{where}: by is missing: the organisation that does {name}")
    given = content.get("with") or {}
    if not isinstance(given, dict):
        raise StoryError(f"{where}: with holds the fields of {name}, as a mapping")
    return Step(
        number,
        raw.label,
        raw.on,
        by,
        name,
        _with_defaults(given, defaults.get(name, {}), raw, where),
        refused=_text(content, "refused", where),
        outcome=_outcome(content, where),
        saying=_text(content, "saying", where),
        match=plain(content.get("match")),
    )


def _with_defaults(given: dict[str, Any], defaults: dict[str, Any], raw: Unfolded, where: str) -> dict[str, Any]:
    filled = fill(defaults, {**raw.scope, **given, "on": raw.on}, where)
    left_out = {key for key, value in given.items() if value is None and key in defaults}
    fields: dict[str, Any] = plain({key: value for key, value in {**filled, **given}.items() if key not in left_out})
    return fields


def _expectation(number: int, raw: Unfolded, where: str) -> Step:
    content = raw.content
    _check_keys(content, _EXPECT_KEYS, where)
    resource, status = content["expect"], content.get("status", 0)
    if not isinstance(resource, str) or not resource.startswith("/"):
        raise StoryError(f"{where}: expect is a path of the reading API, such as /pool")
    if not isinstance(status, int) or isinstance(status, bool):
        raise StoryError(f"{where}: status is an HTTP status, such as 404")
    if "match" not in content and not status:
        raise StoryError(f"{where}: expect needs match (a part of the resource) or status")
    return Step(
        number,
        raw.label,
        raw.on,
        by=str(content.get("by", "")),
        expect=resource,
        match=plain(content.get("match")),
        status=status,
    )


def _text(content: dict[str, Any], key: str, where: str) -> str:
    value = content.get(key, "")
    if not isinstance(value, str):
        raise StoryError(f"{where}: {key} is a text, not {value!r}")
    return value


def _outcome(content: dict[str, Any], where: str) -> str:
    """How the answer must begin: refused with ``refused``, else accepted, unless the story says otherwise."""
    outcome = content.get("outcome", "refused" if content.get("refused") else "accepted")
    if outcome not in _OUTCOMES:
        raise StoryError(f"{where}: outcome is one of {', '.join(_OUTCOMES)}, not {outcome!r}")
    return str(outcome)


def _custodian_id(mode: str, steps: tuple[Step, ...]) -> str:
    """The institution that the runner plays, or empty: the one that the story signs as custodian."""
    agreements = [step.fields for step in steps if step.do == "SignAgreement"]
    signed = [str(fields.get("institution")) for fields in agreements if fields.get("kind") == "custodian"]
    return "" if mode == "manual" else (signed or ["custodian"])[0]
