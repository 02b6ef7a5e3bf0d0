"""Forms made of the contract's own classes: what they ask, and how what is posted becomes the message's JSON."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from shared.contracts.registry import COMMANDS, PARTNER_EVENTS

Kind = Literal[
    "text", "long", "money", "rate", "day", "choice", "choices", "flag", "number", "tokens", "group", "rows", "map"
]
LONG = ("reason", "note", "comment", "purpose", "project", "text")
_THOUSANDS = re.compile(r"[,，\s]")


@dataclass(frozen=True)
class Field:
    """One thing to fill in; ``fields`` are the parts of a group or of each row."""

    name: str
    kind: Kind
    required: bool
    options: tuple[str, ...] = ()
    fields: tuple["Field", ...] = ()


@dataclass(frozen=True)
class Form:
    """A command or partner event as a form."""

    name: str
    fields: tuple[Field, ...]
    is_report: bool


def new_key() -> str:
    """The key under which a form is sent once, however often its button is pressed."""
    return uuid.uuid4().hex


def given(path: str, values: Mapping[str, Any], posted: Mapping[str, Sequence[str]] | None) -> Any:
    """What a field holds: what was posted, else what the page fills in."""
    if posted is not None:
        return posted.get(path, ("",))[-1]
    value = values.get(path, "")
    return "" if value is None else value


@cache
def form_of(name: str) -> Form:
    """The form of a command or partner event; KeyError for an unknown name."""
    model = COMMANDS.get(name) or PARTNER_EVENTS[name]
    schema = model.model_json_schema(mode="validation")
    return Form(name, _fields(schema, schema.get("$defs", {})), name not in COMMANDS)


def _fields(schema: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Field, ...]:
    needed = schema.get("required", ())
    return tuple(_field(name, one, name in needed, known) for name, one in schema.get("properties", {}).items())


def _field(name: str, schema: Mapping[str, Any], required: bool, known: Mapping[str, Any]) -> Field:
    shape = _shape(schema, known)
    if "enum" in shape:
        return Field(name, "choice", required, tuple(map(str, shape["enum"])))
    if "const" in shape:
        return Field(name, "choice", required, (str(shape["const"]),))
    if shape.get("type") == "array":
        items = _shape(shape["items"], known)
        if "enum" in items:
            return Field(name, "choices", required, tuple(map(str, items["enum"])))
        if items.get("type") == "object":
            return Field(name, "rows", required, fields=_fields(items, known))
        return Field(name, "tokens", required)
    if shape.get("type") == "object":
        if "properties" in shape:
            return Field(name, "group", required, fields=_fields(shape, known))
        return Field(name, "map", required)
    return Field(name, _simple(name, shape), required)


def _simple(name: str, shape: Mapping[str, Any]) -> Kind:
    kinds: dict[str, Kind] = {"boolean": "flag", "integer": "number"}
    if shape.get("type") in kinds:
        return kinds[shape["type"]]
    if shape.get("format") == "date":
        return "day"
    if "[0-9]{2}$" in shape.get("pattern", ""):
        return "money"
    if "[0-9]{1,8}" in shape.get("pattern", ""):
        return "rate"
    return "long" if name in LONG else "text"


def _shape(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its reference and without the null of an optional field."""
    if "$ref" in schema:
        return _shape(known[schema["$ref"].rsplit("/", 1)[1]], known)
    if "anyOf" in schema:
        return _shape(next(one for one in schema["anyOf"] if one.get("type") != "null"), known)
    return schema


def read(fields: Sequence[Field], posted: Mapping[str, Sequence[str]], prefix: str = "") -> dict[str, Any]:
    """What was filled in, as the message's JSON; empty fields are left out, so the contract says what is missing."""
    found: dict[str, Any] = {}
    for field in fields:
        value = _value(field, posted, prefix + field.name)
        if value not in (None, "", [], {}) or (value is not None and field.kind == "flag"):
            found[field.name] = value
    return found


def _value(field: Field, posted: Mapping[str, Sequence[str]], path: str) -> Any:
    if field.kind == "group":
        return read(field.fields, posted, f"{path}.")
    if field.kind == "rows":
        return [row for at in _rows(posted, path) if (row := read(field.fields, posted, f"{path}.{at}."))]
    if field.kind == "map":
        keys = [("".join(posted.get(f"{path}.{at}.key", ())), f"{path}.{at}.value") for at in _rows(posted, path)]
        return {key.strip(): _rate("".join(posted.get(value, ()))) for key, value in keys if key.strip()}
    given = [one.strip() for one in posted.get(path, ()) if one.strip()]
    if field.kind == "choices":
        return given
    if field.kind == "tokens":
        return [one for text in given for one in re.split(r"[,，;；、\s]+", text) if one]
    return _one(field.kind, given[-1]) if given else None


def _one(kind: Kind, text: str) -> Any:
    if kind == "money":
        plain = _THOUSANDS.sub("", text)
        if plain.lstrip("-").isdecimal():
            return f"{plain}.00"
        return f"{plain}0" if re.fullmatch(r"-?\d+\.\d", plain) else plain
    if kind == "rate":
        return _rate(text)
    if kind == "flag":
        return {"true": True, "on": True, "false": False}.get(text, text)
    if kind == "number":
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else text
    return text


def _rate(text: str) -> str:
    """A ratio, also when written as a percentage: ``4.5%`` is 0.045."""
    text = text.strip()
    whole, percent, _ = text.partition("%")
    if not percent or not re.fullmatch(r"\d{1,5}(\.\d{1,6})?", whole.strip()):
        return text
    return f"{(Decimal(whole.strip()) / 100).normalize():f}"


def _rows(posted: Mapping[str, Sequence[str]], path: str) -> list[int]:
    """The numbers of the rows that were sent; a row with ``_ask`` counts only when its ``_use`` is ticked."""
    start = f"{path}."
    numbers = {name[len(start) :].partition(".")[0] for name in posted if name.startswith(start)}
    wanted = (n for n in numbers if n.isdecimal() and len(n) < 5)
    return sorted(int(n) for n in wanted if f"{start}{n}._ask" not in posted or f"{start}{n}._use" in posted)


def row_count(posted: Mapping[str, Sequence[str]], path: str) -> int:
    """How many rows to show again: up to the last in which something was filled in."""
    filled = (at for at in _rows(posted, path) if _has_something(posted, f"{path}.{at}."))
    return max(filled, default=-1) + 1


def _has_something(posted: Mapping[str, Sequence[str]], start: str) -> bool:
    return any(value.strip() for name, values in posted.items() if name.startswith(start) for value in values)


def row_values(values: Mapping[str, Any], path: str, at: int) -> dict[str, Any]:
    """What fills one row of a list of values."""
    rows = values.get(path) or ()
    return {f"{path}.{at}.{name}": value for name, value in rows[at].items()} if at < len(rows) else {}


def fixed_of(posted: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The fields that a posted form sent along unseen."""
    names = "".join(posted.get("_fixed", ())).split(",")
    return {name: posted[name] for name in names if name in posted}


def kind_of(form: Form, path: str) -> Kind | None:
    """What kind of field an error's path such as ``shareholders.0.share`` is of, or None for none of the form."""
    fields, found = form.fields, None
    for part in (one for one in path.split(".") if not one.isdecimal()):
        found = next((field for field in fields if field.name == part), None)
        if found is None:
            return None
        fields = found.fields
    return found.kind if found else None
