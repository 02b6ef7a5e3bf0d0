"""Parked messages over the API: whoever runs the machines lists them, has them handled again, or discards them.

Their bytes are not shown here: they may hold an enterprise's data, which an operator of the machines has no right to.
They are seen with `riskpool parked show`, by who may sign in to the server itself. Nothing is looked for in a list.
"""

import asyncio
import base64
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway.api.problems import Problem, ProblemBody, malformed_body, malformed_field
from services.gateway.api.requests import JSON, read_body
from services.gateway.api.resources import Cursor
from services.gateway.api.responses import BODY_PROBLEMS, PROBLEMS
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import PARKED, needs
from services.gateway.auth.record import keep
from services.gateway.views import Page
from shared.contracts.base import Text
from shared.contracts.registry import SERVICES
from shared.messaging.bus import AnswerTimeout, ServiceUnavailable
from shared.messaging.parked import PAGE
from shared.messaging.service import Service

ASK_SECONDS = 5.0
ALL_SERVICES = (*SERVICES, "gateway")
Limit = Annotated[int, Query(ge=1, le=PAGE, description="At most so many items.")]
_NAME = r"^[A-Za-z0-9_-]{0,80}$"
Name = Annotated[str | None, Query(pattern=_NAME)]
_ID = re.compile(r"[0-9a-f]{1,64}")


class ParkedView(BaseModel):
    """A message that could not be read or handled; ``settlement`` is empty while nobody settled it.

    In a list long texts are cut, with … at their end.
    """

    id: str
    service: str
    consumer: str
    stream: str
    stream_seq: int
    message_id: str
    subject: str
    error: str
    bytes: int
    parked_at: datetime
    settlement: Literal["replayed", "discarded"] | None
    settled_at: datetime | None
    settled_by: str | None
    reason: str | None


class Settlement(BaseModel):
    """What to do with a parked message; discarding needs a reason."""

    model_config = ConfigDict(extra="forbid", title="Settlement", strict=True)

    do: Literal["replay", "discard"]
    reason: Text = Field("", max_length=500)


class Clearing(BaseModel):
    """Discard all that waits of one institution, or of one consumer of the services', with one reason."""

    model_config = ConfigDict(extra="forbid", title="Clearing", strict=True)

    do: Literal["discard"]
    reason: Text = Field(min_length=1, max_length=500)
    institution: str = Field("", pattern=_NAME)
    consumer: str = Field("", pattern=_NAME, description="As in the list, such as `events`.")
    service: str = Field("", description="Of this service alone.")


class Cleared(BaseModel):
    """How many were discarded at each service; ask again while there are ``more``."""

    discarded: dict[str, int]
    more: bool


def _body(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_REFUSED: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemBody, "description": "Settled before, answered to its partner, or failed again"}
}


def parked_routes(service: Service) -> APIRouter:
    """``/parked``."""
    router = APIRouter(prefix="/v1/schemes/{scheme}/parked", tags=["operation"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))

    @router.get("", response_model=Page[ParkedView], summary="Messages that could not be read or handled.")
    async def list_parked(
        caller: Caller = caller_of,
        settled: bool = False,
        institution: Name = None,
        consumer: Name = None,
        limit: Limit = PAGE,
        cursor: Cursor = None,
    ) -> Response:
        needs(caller, "page.parked")
        wanted = _consumer(institution, consumer)
        found = await parked_page(owner, caller, settled=settled, consumer=wanted, limit=limit, cursor=cursor)
        return JSONResponse(found.model_dump(), headers={"Cache-Control": "no-store"})

    @router.post(
        "",
        response_model=Cleared,
        summary="Discard all that waits of an institution or a consumer, with one reason.",
        responses=BODY_PROBLEMS,
        openapi_extra=_body(Clearing),
    )
    async def clear_parked(request: Request, caller: Caller = caller_of) -> Response:
        needs(caller, PARKED)
        try:
            wish = Clearing.model_validate_json(await read_body(request, JSON))
        except ValidationError as error:
            raise malformed_body(error, caller.scheme) from None
        return JSONResponse((await clear(owner, caller, wish)).model_dump())

    @router.get("/{service}/{id}", response_model=ParkedView, summary="One of them, its error in full.")
    async def look_at_parked(service: str, id: str, caller: Caller = caller_of) -> Response:
        needs(caller, "page.parked")
        told = await _ask_about(owner, caller, service, id, do="look")
        return JSONResponse({"service": service, **told}, headers={"Cache-Control": "no-store"})

    @router.post(
        "/{service}/{id}",
        response_model=ParkedView,
        summary="Have a message handled again, or discard it with a reason.",
        responses={**BODY_PROBLEMS, **_REFUSED},
        openapi_extra=_body(Settlement),
    )
    async def settle_parked(request: Request, service: str, id: str, caller: Caller = caller_of) -> Response:
        needs(caller, PARKED)
        try:
            wish = Settlement.model_validate_json(await read_body(request, JSON))
        except ValidationError as error:
            raise malformed_body(error, caller.scheme) from None
        return JSONResponse(await settle(owner, caller, service, id, wish))

    owner = service
    return router


async def parked_page(
    service: Service,
    caller: Caller,
    *,
    settled: bool = False,
    consumer: str = "",
    limit: int = PAGE,
    cursor: str | None = None,
) -> Page[dict[str, Any]]:
    """What services parked that is of the caller's scheme or of none, newest first; Problem 503 without an answer."""
    last = _decoded(cursor, caller) if cursor else None
    asks = [
        _ask(service, caller, name, do="list", all=settled, consumer=consumer, limit=limit, before=_before(last, name))
        for name in ALL_SERVICES
    ]
    asked = dict(zip(ALL_SERVICES, await asyncio.gather(*asks), strict=True))
    found = [{"service": name, **one} for name, told in asked.items() for one in told["items"]]
    found.sort(key=lambda one: datetime.fromisoformat(one["parked_at"]), reverse=True)  # of one moment as they were
    more = len(found) > limit or any(told["more"] for told in asked.values())
    shown = found[:limit]
    return Page(items=shown, next_cursor=_encoded(shown[-1]) if more else None)


def _encoded(one: Mapping[str, Any]) -> str:
    text = "~".join((str(one["parked_at"]), one["service"], one["id"]))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(cursor: str, caller: Caller) -> tuple[str, str, str]:
    """The last message shown: its moment, service and id."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, name, identifier = text.split("~")
        if datetime.fromisoformat(moment).tzinfo is None or name not in ALL_SERVICES or not _ID.fullmatch(identifier):
            raise ValueError
    except ValueError:
        raise malformed_field("cursor", "is not a cursor of this list", caller.scheme) from None
    return moment, name, identifier


def _before(last: tuple[str, str, str] | None, name: str) -> tuple[str, str] | None:
    """Where a service's list goes on: of one moment, services are shown in their order, each with its ids downwards."""
    if last is None:
        return None
    moment, shown, identifier = last
    place = ALL_SERVICES.index(name) - ALL_SERVICES.index(shown)
    return moment, identifier if place == 0 else "g" if place > 0 else ""  # before every id, or after


async def count_parked(service: Service, names: Iterable[str] = ALL_SERVICES) -> int:
    """How many wait to be settled, as far as services answer."""

    async def of(name: str) -> int:
        try:
            return int((await service.bus.request(f"progress.{name}", b"{}", 1.0))["parked"])
        except (ServiceUnavailable, AnswerTimeout, AttributeError):
            return 0

    return sum(await asyncio.gather(*map(of, names)))


async def settle(service: Service, caller: Caller, name: str, identifier: str, wish: Settlement) -> dict[str, Any]:
    """Replay or discard a message, recorded; a Problem says why it cannot be."""
    if wish.do == "discard" and not wish.reason.strip():
        raise Problem(422, "parked", "reason", scheme=caller.scheme)
    reason = wish.reason.strip()
    told = await _ask_about(service, caller, name, identifier, do=wish.do, by=_by(caller), reason=reason)
    async with service.engine.begin() as connection:
        await keep(connection, caller, service.clock.now(), f"parked.{wish.do}", f"{name} {identifier}")
    return {"service": name, **told}


async def clear(service: Service, caller: Caller, wish: Clearing) -> Cleared:
    """Discard what waits, recorded for each service that had any."""
    if not wish.reason.strip():
        raise Problem(422, "parked", "reason", scheme=caller.scheme)
    if bool(wish.institution) == bool(wish.consumer):
        raise malformed_field("institution", "name either an institution or a consumer", caller.scheme)
    if wish.service and wish.service not in ALL_SERVICES:
        raise malformed_field("service", f"is one of {', '.join(ALL_SERVICES)}", caller.scheme)
    consumer, more, discarded = _consumer(wish.institution, wish.consumer), False, dict[str, int]()
    asked = {"do": "discard_many", "consumer": consumer, "by": _by(caller), "reason": wish.reason.strip()}
    for name in [wish.service] if wish.service else ALL_SERVICES:  # in turn, so that what was done is recorded
        told = await _ask(service, caller, name, **asked)
        more = more or told["more"]
        if told["discarded"]:
            discarded[name] = told["discarded"]
            async with service.engine.begin() as connection:
                about = f"{name} {consumer}: {told['discarded']}"
                await keep(connection, caller, service.clock.now(), "parked.discard", about)
    return Cleared(discarded=discarded, more=more)


def _consumer(institution: str | None, consumer: str | None) -> str:
    """The name under which services take an institution's events, or the consumer that was asked for."""
    return f"partner-{institution}" if institution else consumer or ""


def _by(caller: Caller) -> str:
    return f"{caller.account or caller.organisation}@{caller.scheme.id}"


async def _ask_about(service: Service, caller: Caller, name: str, identifier: str, **asked: Any) -> dict[str, Any]:
    """Ask a service about one message; a Problem when there is none, or when it refuses."""
    known = name in ALL_SERVICES and _ID.fullmatch(identifier)
    told = await _ask(service, caller, name, id=identifier, **asked) if known else {"refused": "unknown"}
    match told.get("refused"):
        case None:
            return told
        case "unknown":
            raise Problem(404, "unknown", "parked", {"id": identifier[:64]}, scheme=caller.scheme)
        case refused:
            raise Problem(409, "parked", refused, {"problem": told.get("problem", "")}, scheme=caller.scheme)


async def _ask(service: Service, caller: Caller, name: str, **asked: Any) -> dict[str, Any]:
    """Ask a service, about nothing that is of another scheme."""
    asked["without"] = sorted(set(service.schemes) - {caller.scheme.id})
    try:
        return await service.bus.request(f"parked.{name}", json.dumps(asked).encode(), ASK_SECONDS)
    except (ServiceUnavailable, AnswerTimeout, AttributeError):
        raise Problem(503, "unavailable", scheme=caller.scheme, headers={"Retry-After": "1"}) from None
