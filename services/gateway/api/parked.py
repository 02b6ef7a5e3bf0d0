"""Parked messages over the API: whoever runs the machines lists them, has them handled again, or discards them.

Their bytes are not shown here: they may hold an enterprise's data, which an operator of the machines has no right to.
They are seen with `riskpool parked show`, by who may sign in to the server itself.
"""

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway.api.problems import Problem, ProblemBody, malformed_body
from services.gateway.api.requests import JSON, read_body
from services.gateway.api.responses import BODY_PROBLEMS, PROBLEMS
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import PARKED, needs
from services.gateway.auth.record import keep
from services.gateway.views import Page
from shared.contracts.registry import SERVICES
from shared.messaging.bus import AnswerTimeout, ServiceUnavailable
from shared.messaging.service import Service

ASK_SECONDS = 5.0
ALL_SERVICES = (*SERVICES, "gateway")


class ParkedView(BaseModel):
    """A message that could not be read or handled; ``settlement`` is empty while nobody settled it."""

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
    reason: str = Field("", max_length=500)


_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": Settlement.model_json_schema()}}}
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemBody, "description": "Settled before, answered to its partner, or failed again"}
}


def parked_routes(service: Service) -> APIRouter:
    """``/parked``."""
    router = APIRouter(prefix="/v1/schemes/{scheme}/parked", tags=["operation"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))

    @router.get("", response_model=Page[ParkedView], summary="Messages that could not be read or handled.")
    async def list_parked(caller: Caller = caller_of, settled: bool = False) -> Response:
        needs(caller, "page.parked")
        found = await all_parked(service, caller, settled)
        return JSONResponse({"items": found, "next_cursor": None}, headers={"Cache-Control": "no-store"})

    @router.post(
        "/{service}/{id}",
        response_model=ParkedView,
        summary="Have a message handled again, or discard it with a reason.",
        responses={**BODY_PROBLEMS, **_REFUSED},
        openapi_extra=_BODY,
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


async def all_parked(service: Service, caller: Caller, settled: bool) -> list[dict[str, Any]]:
    """What services parked that is of the caller's scheme or of none, newest first; Problem 503 without an answer."""
    others = set(service.schemes) - {caller.scheme.id}
    asked = await asyncio.gather(*(_ask(service, caller, name, do="list", all=settled) for name in ALL_SERVICES))
    found = [
        {"service": name, **one}
        for name, told in zip(ALL_SERVICES, asked, strict=True)
        for one in told["items"]
        if not others & set(one["subject"].split("."))
    ]
    return sorted(found, key=lambda one: str(one["parked_at"]), reverse=True)


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
    if name not in ALL_SERVICES:
        raise Problem(404, "unknown", "parked", {"id": identifier[:64]}, scheme=caller.scheme)
    if wish.do == "discard" and not wish.reason.strip():
        raise Problem(422, "parked", "reason", scheme=caller.scheme)
    known = next((one for one in await all_parked(service, caller, True) if one["id"] == identifier), None)
    if known is None or known["service"] != name:
        raise Problem(404, "unknown", "parked", {"id": identifier[:64]}, scheme=caller.scheme)
    by = f"{caller.account or caller.organisation}@{caller.scheme.id}"
    told = await _ask(service, caller, name, do=wish.do, id=identifier, by=by, reason=wish.reason.strip())
    if refused := told.get("refused"):
        raise Problem(409, "parked", refused, {"problem": told.get("problem", "")}, scheme=caller.scheme)
    async with service.engine.begin() as connection:
        await keep(connection, caller, service.clock.now(), f"parked.{wish.do}", f"{name} {identifier}")
    return {"service": name, **told}


async def _ask(service: Service, caller: Caller, name: str, **asked: Any) -> dict[str, Any]:
    try:
        return await service.bus.request(f"parked.{name}", json.dumps(asked).encode(), ASK_SECONDS)
    except (ServiceUnavailable, AnswerTimeout, AttributeError):
        raise Problem(503, "unavailable", scheme=caller.scheme, headers={"Retry-After": "1"}) from None
