"""A scheme file read and checked whole: settings with their clauses, rules, organisations, and each service's slice."""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.base import Finding, OrganisationKind, Why, made
from shared.scheme.allowed import Entry, problems_of_settings
from shared.scheme.size import DIRECTORY as SIZE_STANDARDS

SHIPPED = Path(__file__).parent
P = TypeVar("P", bound="Policy")
Part = TypeVar("Part", bound=BaseModel)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_KINDS = ("drc", "finance", "government", "department", "township")
_TABLES = ("settings", "rules", "organisations")
_SECTIONS = ("id", "name", "extends", *_TABLES)
_LEFT_OUT = (("reading", ""), ("en", ""))


class SchemeError(ValueError):
    """A scheme file that cannot be used; ``problems`` lists everything wrong with it at once."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__("\n".join([f"{source}: {len(problems)} problem(s)", *(f"  - {line}" for line in problems)]))
        self.problems = problems


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Organisation(_Part):
    """An agency that the scheme file lists; institutions come later, by agreement."""

    id: str
    kind: OrganisationKind
    name: str
    en: str = ""


class Rule(_Part):
    """A rule of the scheme: its id, the clause it stands in, its titles."""

    id: str
    clause: str
    zh: str
    en: str


@dataclass(frozen=True)
class Setting:
    """One number or choice of the scheme, its clause, and the reading where the source is silent (else empty)."""

    key: str
    value: object
    clause: str
    reading: str = ""


class Policy(BaseModel):
    """A service's slice of the scheme: each field names its setting by ``Field(alias="need.cap")``."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    clauses: dict[str, str] = Field(default_factory=dict)
    scheme_version: str = ""
    organisations: dict[str, Organisation] = Field(default_factory=dict)

    def why(self, rule: str, **figures: str) -> Why:
        """Why a decision is as it is: the rule with its clause in this scheme and the figures it used."""
        return made(Why, rule=rule, clause=self.clauses.get(rule, ""), figures=figures)

    def finding(self, rule: str, result: str, **figures: str) -> Finding:
        """The outcome of one rule checked: ``pass``, ``fail``, ``waived`` or ``flag``."""
        return Finding.model_validate(
            {"rule": rule, "clause": self.clauses.get(rule, ""), "result": result, "figures": figures}
        )


_OWN_FIELDS = frozenset(Policy.model_fields)


@dataclass(frozen=True)
class Scheme:
    """One fund's rules of the day; ``version`` is the SHA-256 of its canonical content."""

    id: str
    name: str
    version: str
    organisations: dict[str, Organisation]
    settings: dict[str, Setting]
    rules: dict[str, Rule]
    _policies: dict[type[Any], Any] = field(default_factory=dict, compare=False, repr=False)

    def value(self, key: str) -> object:
        """The value of a setting as the file has it; KeyError when there is no such setting."""
        return self.settings[key].value

    def clause(self, rule: str) -> str:
        """The clause of a rule, empty for a rule that the scheme does not know."""
        return self.rules[rule].clause if rule in self.rules else ""

    def policy(self, cls: type[P]) -> P:
        """The slice of the scheme that a service enforces, built once; SchemeError when a field has no setting."""
        if cls not in self._policies:
            self._policies[cls] = self._slice(cls)
        return cast(P, self._policies[cls])

    def _slice(self, cls: type[P]) -> P:
        keys = {name: known.alias or name for name, known in cls.model_fields.items() if name not in _OWN_FIELDS}
        values: dict[str, object] = {key: self.settings[key].value for key in keys.values() if key in self.settings}
        values["clauses"] = {rule.id: rule.clause for rule in self.rules.values()}
        values["scheme_version"] = self.version
        values["organisations"] = self.organisations
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise SchemeError(f"{self.id} as {cls.__name__}", lines) from error


def scheme_file(name: str, beside: Path | None = None) -> Path:
    """The file of a shipped scheme's id (``yanqing``), or of a path, taken relative to ``beside``."""
    if _ID.fullmatch(name):
        return SHIPPED / f"{name}.toml"
    return (beside or Path()) / name


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemeError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SchemeError(str(path), [f"is not TOML: {error}"]) from error


def _overlay(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The base with what the extending file changes; a changed value drops the base's reading."""
    merged = {**base, **{key: value for key, value in own.items() if key not in _TABLES}}
    for section in _TABLES:
        table = dict(base.get(section, {}))
        for key, entry in own.get(section, {}).items():
            under = dict(table.get(key, {})) if isinstance(entry, dict) else {}
            if isinstance(entry, dict) and entry.get("value", under.get("value")) != under.get("value"):
                under.pop("reading", None)
            table[key] = {**under, **entry} if isinstance(entry, dict) else entry
        merged[section] = table
    return merged


def _shape_problems(content: dict[str, Any]) -> list[str]:
    found = [f"{key}: unknown; allowed at the top: {', '.join(_SECTIONS)}" for key in content if key not in _SECTIONS]
    found += [f"{key}: must be a table" for key in _TABLES if not isinstance(content.get(key, {}), dict)]
    return found


def _resolve(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise SchemeError(str(path), ["extends: the files extend each other in a circle"])
    content = _read(path)
    if problems := _shape_problems(content):
        raise SchemeError(path.name, problems)
    base = content.get("extends")
    if base is None:
        return content
    if not isinstance(base, str) or not base:
        raise SchemeError(path.name, ["extends: allowed: the id of a shipped scheme, or a path relative to this file"])
    if "id" not in content:
        raise SchemeError(path.name, ["id: missing; a scheme that extends another needs an id of its own"])
    resolved = _overlay(_resolve(scheme_file(base, path.parent), (*seen, path.resolve())), content)
    return {key: value for key, value in resolved.items() if key != "extends"}


def _parts(section: str, table: Mapping[str, Any], cls: type[Part], allowed: str) -> tuple[dict[str, Part], list[str]]:
    read: dict[str, Part] = {}
    problems = []
    for key, entry in table.items():
        try:
            read[key] = cls.model_validate({"id": key, **entry} if isinstance(entry, dict) else entry)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors())
            problems.append(f"{section}.{key}: {said}; allowed: {allowed}")
    return read, problems


def _organisations(table: Mapping[str, Any]) -> tuple[dict[str, Organisation], list[str]]:
    read, problems = _parts("organisations", table, Organisation, f"kind one of {', '.join(_KINDS)} and a name")
    for kind in ("drc", "finance", "government"):
        ids = [one.id for one in read.values() if one.kind == kind]
        if ids != [kind]:
            problems.append(f"organisations: exactly one of kind {kind}, with the id {kind}, is needed; found {ids}")
    problems += [f"organisations.{one.id}: an institution comes by agreement, not here; allowed: {', '.join(_KINDS)}"
                 for one in read.values() if one.kind not in _KINDS]
    problems += [f"organisations.{key}: not an id; allowed: a-z, 0-9 and -" for key in read if not _ID.fullmatch(key)]
    if not any(one.kind in ("department", "township") for one in read.values()):
        problems.append("organisations: a department or township is needed, else nobody can refer")
    return read, problems


def _rules(table: Mapping[str, Any]) -> tuple[dict[str, Rule], list[str]]:
    read, problems = _parts("rules", table, Rule, "clause, zh and en")
    needed = _read(SHIPPED / "yanqing.toml").get("rules", {})
    problems += [f"rules.{key}: missing; give its clause, zh and en" for key in needed if key not in table]
    return read, problems


def content_of(scheme: Scheme) -> dict[str, Any]:
    """A scheme's version as services keep it, so that an old decision can be explained with the rules of its day."""
    content = {
        "id": scheme.id,
        "name": scheme.name,
        "settings": {
            key: {"value": s.value, "clause": s.clause, "reading": s.reading} for key, s in scheme.settings.items()
        },
        "rules": {key: rule.model_dump() for key, rule in scheme.rules.items()},
        "organisations": {key: one.model_dump() for key, one in scheme.organisations.items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
    return plain


def version_of(content: Mapping[str, Any], size_standard: str) -> str:
    """The SHA-256 of a kept version and the text of its size standard: canonical JSON, what is empty left out."""

    def written(section: str) -> dict[str, dict[str, Any]]:
        parts: dict[str, dict[str, Any]] = content[section]
        return {
            key: {name: value for name, value in part.items() if name != "id" and (name, value) not in _LEFT_OUT}
            for key, part in parts.items()
        }

    whole = {"id": content["id"], "name": content["name"], "size_standard": size_standard}
    whole |= {section: written(section) for section in _TABLES}
    canonical = json.dumps(whole, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def size_standard_of(content: Mapping[str, Any]) -> str:
    """The shipped text of the size standard that a kept version names; SchemeError when there is none."""
    name = content["settings"]["size_standard"]["value"]
    try:
        return (SIZE_STANDARDS / f"{name}.csv").read_text(encoding="utf-8")
    except OSError as error:
        raise SchemeError(str(content["id"]), [f"size_standard: {name}.csv cannot be read"]) from error


def scheme_of(content: Mapping[str, Any], version: str) -> Scheme:
    """The scheme of a kept version, to decide again with the rules of its day."""
    settings = {key: Setting(key, **one) for key, one in content["settings"].items()}
    rules = {key: Rule.model_validate(one) for key, one in content["rules"].items()}
    organisations = {key: Organisation.model_validate(one) for key, one in content["organisations"].items()}
    return Scheme(content["id"], content["name"], version, organisations, settings, rules)


def load_scheme(path: Path | str) -> Scheme:
    """The scheme of a file, or of a shipped id; SchemeError lists each problem: key, clause, what is allowed."""
    file = scheme_file(path) if isinstance(path, str) else path
    content = _resolve(file)
    problems = []
    identity, name = content.get("id"), content.get("name")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        problems.append(f"id: {identity!r} is not an id; allowed: 1 to 32 of a-z, 0-9 and -")
    if not isinstance(name, str) or not name:
        problems.append("name: missing; allowed: the name of the fund")
    entries: dict[str, Entry] = content.get("settings", {})
    problems += problems_of_settings(entries)
    organisations, more = _organisations(content.get("organisations", {}))
    rules, others = _rules(content.get("rules", {}))
    if problems := problems + more + others:
        raise SchemeError(file.name, problems)
    settings = {key: Setting(key, one["value"], one["clause"], one.get("reading", "")) for key, one in entries.items()}
    scheme = Scheme(str(identity), str(name), "", organisations, settings, rules)
    kept = content_of(scheme)
    return replace(scheme, version=version_of(kept, size_standard_of(kept)))


def load_schemes() -> dict[str, Scheme]:
    """The schemes of this deployment by id: the files that RISKPOOL_SCHEMES lists, else the shipped ``yanqing``."""
    names = [name for name in os.environ.get("RISKPOOL_SCHEMES", "").split(os.pathsep) if name] or ["yanqing"]
    schemes: dict[str, Scheme] = {}
    for name in names:
        scheme = load_scheme(name)
        if scheme.id in schemes:
            raise SchemeError(name, [f"id: {scheme.id} is the id of another scheme in RISKPOOL_SCHEMES"])
        schemes[scheme.id] = scheme
    return schemes
