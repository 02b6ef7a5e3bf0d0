"""`riskpool docs`: AsyncAPI 3, OpenAPI 3.1 and the JSON Schemas of every message, from the contract's classes."""

import importlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.contracts.base import Message
from shared.contracts.registry import COMMANDS, EVENTS, PARTNER_EVENTS
from shared.messaging.receipts import Receipt

ROOT = Path(__file__).parent.parent
ASYNCAPI, OPENAPI, SCHEMAS = "docs/asyncapi.json", "docs/openapi.json", "docs/schemas.json"
VERSION = "1.0.0"
# Words of JSON Schema that promise nothing, and those whose appearance forbids what was allowed.
_WORDS = ("description", "examples", "title")
_LIMITS = {
    "additionalProperties", "const", "enum", "format", "maxItems", "maxLength", "maximum", "minItems", "minLength",
    "minimum", "pattern", "type",
}  # fmt: skip


def _named() -> dict[str, type[Message]]:
    events = {f"{service}.{name}": cls for (service, name), cls in EVENTS.items()}
    partners = {f"partner.{name}": cls for name, cls in PARTNER_EVENTS.items()}
    return {**{f"command.{n}": c for n, c in COMMANDS.items()}, **partners, **events}


def schemas() -> dict[str, Any]:
    """The JSON Schema of every message by kind and name: what the golden file holds."""
    return {name: cls.model_json_schema() for name, cls in sorted(_named().items())}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: channels, messages and operations as a partner and a service see them."""
    models: list[type[BaseModel]] = [*EVENTS.values(), *PARTNER_EVENTS.values(), Receipt]
    references, definitions = models_json_schema(
        [(cls, "serialization") for cls in models], ref_template="#/components/schemas/{model}"
    )
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}

    def add(key: str, address: str, action: str, cls: type[BaseModel]) -> None:
        key = key.replace(".", "_")
        channels[key] = _channel(address, cls, references[cls, "serialization"])
        operations[key] = {"action": action, "channel": {"$ref": f"#/channels/{key}"}}

    for (service, name), cls in sorted(EVENTS.items()):
        add(f"{service}.{name}", f"events.{{scheme}}.{service}.{name}", "send", cls)
    for name, partner in sorted(PARTNER_EVENTS.items()):
        add(f"partner.{name}", f"partners.{{institution}}.{{scheme}}.{name}", "receive", partner)
    add("receipt", "receipts.{institution}.{scheme}.{event}", "send", Receipt)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "riskpool",
            "version": VERSION,
            "description": "Events of the fund on NATS JetStream, as CloudEvents 1.0 in structured JSON "
            "(content type application/cloudevents+json); the payload below is the attribute `data`.",
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": definitions["$defs"]},
    }


def _channel(address: str, cls: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    names = [part[1:-1] for part in address.split(".") if part.startswith("{")]
    return {
        "address": address,
        "description": (cls.__doc__ or "").strip(),
        "parameters": {name: {"description": f"the {name}'s id"} for name in names},
        "messages": {cls.__name__: {"name": cls.__name__, "payload": _envelope(cls.__name__, data)}},
    }


def _envelope(name: str, data: Any) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text,
            "source": text,
            "type": {"const": f"riskpool.{name}.v1"},
            "time": {"type": "string", "format": "date-time"},
            "subject": text,
            "scheme": text,
            "correlationid": text,
            "causationid": text,
            "data": data,
        },
    }


def openapi() -> dict[str, Any]:
    """The gateway's OpenAPI 3.1 document."""
    os.environ.setdefault("RISKPOOL_CLOCK", "server")
    document: dict[str, Any] = importlib.import_module("services.gateway.app").app.openapi()
    return document


def breaking(old: Any, new: Any, path: str = "") -> list[str]:
    """What of ``old`` a reader or writer relied on and ``new`` no longer keeps, in words; additions are no break."""
    if isinstance(old, dict) and isinstance(new, dict):
        is_schema = path and not path.endswith(("/properties", "/$defs"))
        found = _tightened(old, new, path) if is_schema else []
        words = (*_WORDS, "required") if is_schema else ()
        found += [f"{path}/{key} is gone" for key in old if key not in new and key not in words]
        keys = [key for key in old if key in new and key not in words]
        return found + [line for key in keys for line in breaking(old[key], new[key], f"{path}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and path.endswith("/enum"):
        return [f"{path} no longer allows {value!r}" for value in old if value not in new]
    return [] if old == new else [f"{path} changed from {json.dumps(old)} to {json.dumps(new)}"]


def _tightened(old: dict[str, Any], new: dict[str, Any], path: str) -> list[str]:
    """What a schema asks for or forbids that it did not before."""
    more = set(new.get("required", [])) - set(old.get("required", []))
    found = [f"{path} now requires {name}" for name in sorted(more)]
    return found + [f"{path} now has {key}" for key in sorted(_LIMITS & (new.keys() - old.keys()))]


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def command(
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; exit 1 when a document is not up to date")
    ] = False,
) -> None:
    """Write docs/asyncapi.json, docs/openapi.json and docs/schemas.json. A breaking change of a message is refused."""
    golden = ROOT / SCHEMAS
    now = schemas()
    broken = breaking(json.loads(golden.read_text()), now) if golden.exists() else []
    if broken:
        typer.echo(
            "A breaking change of the contract:\n  " + "\n  ".join(broken) + "\nAdd a new version instead.", err=True
        )
        raise typer.Exit(1)
    stale = []
    for name, document in ((ASYNCAPI, asyncapi()), (OPENAPI, openapi()), (SCHEMAS, now)):
        file, text = ROOT / name, _text(document)
        if not file.exists() or file.read_text() != text:
            stale.append(name)
            if not check:
                file.write_text(text)
    if check and stale:
        typer.echo(f"Not up to date: {', '.join(stale)}. Run `riskpool docs` and commit the result.", err=True)
        raise typer.Exit(1)
    typer.echo("up to date" if not stale else f"wrote {', '.join(stale)}")
