"""Writing a shape as JSON, to the byte as pydantic and ``json.dumps`` do: one function a class, composed once."""

import json
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache
from inspect import unwrap
from json.encoder import encode_basestring as text
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, PlainSerializer, TypeAdapter

Writer = Callable[[Any], str]
REMEMBERED = 512
"""Amounts, ratios and days come again and again: each is written once."""


@cache
def writer_of(cls: type[BaseModel]) -> Writer:
    """What writes the fields of an object of this class, given as its ``__dict__``: one f-string, in their order."""
    names: dict[str, Any] = {"text": text}
    parts = []
    for name, field in cls.model_fields.items():
        value = _expression(Annotated[field.annotation, *field.metadata, None], f'fields["{name}"]', names)
        parts.append(f'"{name}":{{{value}}}')
    source = f"lambda fields: f'{{{{{','.join(parts)}}}}}'"
    writer: Writer = eval(source, names)  # of our own classes' field names alone
    return writer


def _expression(annotation: Any, value: str, names: dict[str, Any]) -> str:
    """The Python expression that gives the JSON of ``value``; double quotes only, for it stands in an f-string."""
    kind, metadata = annotation, tuple[Any, ...]()
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metadata = (*more, *metadata)
    origin, inner = get_origin(kind), get_args(kind)
    for mark in metadata:
        if isinstance(mark, PlainSerializer):
            return f"{_name(_remembering(mark.func), names)}({value})"
    if kind is str or (origin is Literal and all(isinstance(one, str) for one in inner)):
        return f"text({value})"
    if kind is int:
        return f"str({value})"
    if kind is bool:
        return f'"true" if {value} else "false"'
    if kind is date:
        return f"{_name(_remembering(date.isoformat), names)}({value})"
    if origin in (Union, UnionType) and len(inner) == 2 and NoneType in inner:
        given = next(one for one in inner if one is not NoneType)
        return f'"null" if {value} is None else {_expression(Annotated[given, *metadata, None], value, names)}'
    if origin is tuple and inner[1:] == (...,):
        each = _expression(inner[0], "one", names)
        return f'"[" + ",".join([{each} for one in {value}]) + "]" if {value} else "[]"'
    if origin is dict and inner[0] is str:
        each = _expression(inner[1], "one", names)
        return f'"{{" + ",".join([text(key) + ":" + ({each}) for key, one in {value}.items()]) + "}}"'
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"{_name(writer_of(kind), names)}({value}.__dict__)"
    return f"{_name(_by_pydantic(annotation), names)}({value})"


def _name(function: Writer, names: dict[str, Any]) -> str:
    known = next((name for name, one in names.items() if one is function), f"write_{len(names)}")
    names[known] = function
    return known


@cache
def _remembering(serializer: Callable[..., str]) -> Writer:
    once = unwrap(serializer)
    return lru_cache(REMEMBERED)(lambda value: text(once(value)))


def _by_pydantic(annotation: Any) -> Writer:
    adapter = TypeAdapter(annotation)
    return lambda value: json.dumps(adapter.dump_python(value, mode="json"), ensure_ascii=False, separators=(",", ":"))
