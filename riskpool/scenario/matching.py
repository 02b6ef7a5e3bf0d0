"""Whether a resource holds what a story expects of it: a part of it, with YAML's types and JSON's meant alike."""

from decimal import Decimal, InvalidOperation
from typing import Any


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """What keeps ``found`` from matching, a line each; empty when it matches as a subset (contract.md section 9)."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [_line(path, expected, found)]
        return [
            line for key, value in expected.items() for line in differences(value, found.get(key), _join(path, key))
        ]
    if isinstance(expected, list):
        return _list_differences(expected, found, path)
    return [] if same(expected, found) else [_line(path, expected, found)]


def same(expected: Any, found: Any) -> bool:
    """Equal as texts, or as numbers where the story wrote a number: ``2`` and ``"2.00"``, a date and its ISO text."""
    if type(expected) is type(found) or expected is None or found is None:
        return bool(expected == found)
    if isinstance(expected, bool) or isinstance(found, bool):
        return str(expected).lower() == str(found).lower()
    if str(expected) == str(found):
        return True
    try:
        return not isinstance(expected, str) and Decimal(str(expected)) == Decimal(str(found))
    except InvalidOperation:
        return False


def _list_differences(expected: list[Any], found: Any, path: str) -> list[str]:
    entries = found.get("items") if isinstance(found, dict) else found
    if not isinstance(entries, list):
        return [_line(path, expected, found)]
    missing = [entry for entry in expected if not any(not differences(entry, element) for element in entries)]
    where = f"{path or 'items'}: nothing in the list matches"
    return [f"{where} {entry!r}; found {_short(_alike(entry, entries))}" for entry in missing]


def _alike(entry: Any, entries: list[Any]) -> list[Any]:
    """The elements nearest to what was expected, reduced to the fields it names."""
    if not isinstance(entry, dict):
        return entries
    reduced = [{key: element.get(key) for key in entry} for element in entries if isinstance(element, dict)]
    return sorted(reduced, key=lambda element: sum(not same(entry[key], element[key]) for key in entry))[:5]


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _line(path: str, expected: Any, found: Any) -> str:
    return f"{path or 'the answer'}: expected {_short(expected)}, found {_short(found)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else text[:400] + "…"
