"""Reading YAML as stories write it (``on`` is a word, not a truth value) and filling in ${…}."""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import yaml

from riskpool.scenario.codes import synthetic_uscc

_HOLE = re.compile(r"\$\{([^${}]*)\}")
_NOTHING = object()
_SUM = re.compile(r"(\w+)\s*([+-])\s*([0-9]+)")


class StoryError(Exception):
    """A story that cannot be run; the message says where and why."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its yes / no / on / off truth values."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|false|False)$"), list("tTfF"))


def read_yaml(text: str, name: str) -> Any:
    """The document in a YAML text; StoryError names the line of a mistake."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise StoryError(f"{name} is not valid YAML: {error}") from error


def fill(value: Any, scope: Mapping[str, Any], where: str) -> Any:
    """A copy of ``value`` with every ${…} replaced; a text that is one ${…} takes the value with its own type."""
    if isinstance(value, dict):
        return {fill(key, scope, where): fill(item, scope, where) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, scope, where) for item in value]
    while isinstance(value, str) and (hole := _HOLE.search(value)):
        found = _evaluate(hole.group(1).strip(), scope, where)
        if hole.group(0) == value:
            return found
        value = value[: hole.start()] + plain_text(found) + value[hole.end() :]
    return value


def plain_text(value: Any) -> str:
    """A scalar as it stands on the wire."""
    return value.isoformat() if isinstance(value, date) else str(value)


def plain(value: Any) -> Any:
    """A copy of ``value`` as JSON has it: dates become ISO strings."""
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _evaluate(expression: str, scope: Mapping[str, Any], where: str) -> Any:
    if expression.startswith("uscc:"):
        return _nth_code(expression[5:].strip(), scope, where)
    found = _look_up(expression, scope)
    if found is not _NOTHING:
        return found
    if (match := _SUM.fullmatch(expression)) and match[1] in scope:
        return _shift(scope[match[1]], int(match[2] + match[3]), expression, where)
    raise StoryError(f"{where}: ${{{expression}}} is not known here (known: {', '.join(sorted(scope)) or 'nothing'})")


def _look_up(expression: str, scope: Mapping[str, Any]) -> Any:
    """A parameter, or a field of one: ``${enterprise.uscc}``."""
    found: Any = scope
    for part in expression.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _NOTHING
        found = found[part]
    return found


def _nth_code(number: str, scope: Mapping[str, Any], where: str) -> str:
    value = number if number.isdigit() else _evaluate(number, scope, where)
    try:
        return synthetic_uscc(int(value))
    except (TypeError, ValueError) as error:
        raise StoryError(f"{where}: ${{uscc:{number}}}: {error}") from error


def _shift(value: Any, by: int, expression: str, where: str) -> Any:
    if isinstance(value, date):
        return value + timedelta(days=by)
    if isinstance(value, int):
        return value + by
    raise StoryError(f"{where}: ${{{expression}}} adds to {value!r}, which is neither a date nor a whole number")
