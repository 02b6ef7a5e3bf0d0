"""Partner events over HTTP, for institutions without a bus client: published like any other, answered by receipt."""

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ValidationError
from pydantic_core import from_json

from services.gateway.api.commands import REFUSALS, KeyHeader, TimeHeader, request_body
from services.gateway.api.problems import Problem, malformed_body, malformed_field
from services.gateway.api.requests import (
    CLOUDEVENT,
    business_moment,
    check_step,
    idempotency_key,
    is_plain_json,
    parse_moment,
    read_body,
)
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.business_days import announce_through, current_day
from services.gateway.queries.events import receipt_view
from services.gateway.store import is_answer_to, keep_submission
from services.gateway.views import ReceiptView
from shared.clock import business_date
from shared.contracts.registry import PARTNER_EVENTS
from shared.messaging.accounts import EVENT_BYTES
from shared.messaging.bus import ServiceUnavailable
from shared.messaging.envelope import type_of
from shared.messaging.incoming import body_sha256
from shared.messaging.service import Service

RECEIPT_SECONDS = 10.0
EVENT_LIMIT = f"{EVENT_BYTES // 1024} KiB"
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.02, 0.25
EventName = Annotated[str, Path(description="The event's name.")]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")


class _Attributes(BaseModel):
    """What is needed of an envelope to send it on; the owning service reads the rest."""

    id: str
    time: AwareDatetime


@dataclass(frozen=True)
class Report:
    """One event on its way to the bus: its id, its business time and its envelope as bytes."""

    id: str
    moment: datetime
    envelope: bytes


def partner_routes(service: Service) -> APIRouter:
    """``POST /partner-events/{Name}``: known events each with its schema, unknown ones are submitted all the same."""
    router = APIRouter(prefix="/v1/schemes/{scheme}/partner-events", tags=["partner events"])
    responses = {
        **REFUSALS,
        202: {"description": "Stored; no receipt yet: ask for it at `Location`"},
        409: {
            "description": "Refused: the receipt as a problem; or the id stands for other data",
            "model": REFUSALS[409]["model"],
        },
        413: {"description": f"More than {EVENT_LIMIT} as a CloudEvent", "model": REFUSALS[413]["model"]},
    }
    caller_of = Depends(caller_dependency(service))

    async def endpoint(
        request: Request, name: EventName, caller: Caller = caller_of, key: KeyHeader = None, time: TimeHeader = None
    ) -> JSONResponse:
        return await take_in(service, caller, request, name)

    router.add_api_route(
        "/{name}",
        endpoint,
        methods=["POST"],
        operation_id="submitPartnerEvent",
        response_model=ReceiptView,
        responses=responses,
        summary="Report a fact; answered by its receipt.",
        description="The body is a CloudEvent, or its data alone with `Idempotency-Key` as the event's id. Events: "
        + ", ".join(f"{name} (from {', '.join(model.senders)})" for name, model in sorted(PARTNER_EVENTS.items()))
        + ".",
        openapi_extra=request_body(*sorted(PARTNER_EVENTS)),
    )
    return router


async def take_in(service: Service, caller: Caller, request: Request, name: str) -> JSONResponse:
    """Read one event from a request, publish it for the calling institution and answer with its receipt."""
    if not _NAME.fullmatch(name):
        raise Problem(404, "unknown", "path", {"path": request.url.path[:200]}, scheme=caller.scheme)
    body = await read_body(request, CLOUDEVENT)
    needs_institution(caller)
    report = await _report(service, caller, request, name, body)
    receipt = await submit(service, caller, name, report)
    location = receipt_path(caller.scheme.id, report.id)
    if receipt is None:
        stored = {"event_id": report.id, "event": name, "institution": caller.organisation, "location": location}
        return JSONResponse(stored, 202, headers={"Location": location})
    return _answer(caller, receipt, location)


def needs_institution(caller: Caller) -> None:
    """Problem 403 unless an institution with an agreement calls."""
    if caller.is_agency:
        raise Problem(403, "permission", "institutions_only", scheme=caller.scheme)
    if not caller.is_institution:
        raise Problem(403, "permission", "unknown_sender", {"sender": caller.organisation}, scheme=caller.scheme)


async def submit(service: Service, caller: Caller, name: str, report: Report) -> ReceiptView | None:
    """Publish a report after the business days before it; its receipt, or None when there is none after ten seconds.

    Problem 409 when its id stands for other data, also if these came over the bus meanwhile; 413 when its envelope is
    larger than the bus takes of a partner.
    """
    if len(report.envelope) > EVENT_BYTES:
        raise Problem(413, "too_large", figures={"limit": EVENT_LIMIT}, scheme=caller.scheme)
    digest = body_sha256(name, report.envelope)
    async with service.engine.begin() as connection:
        same = await keep_submission(connection, caller.scheme.id, caller.organisation, report.id, digest)
    if not same:
        raise _mismatch(caller, report)
    await announce_through(service, caller.scheme.id, business_date(report.moment))
    try:
        await service.bus.submit(caller.organisation, caller.scheme.id, name, report.envelope, report.id)
    except (ServiceUnavailable, AttributeError):
        raise Problem(503, "no_answer", scheme=caller.scheme, headers={"Retry-After": "1"}) from None
    row = await _receipt(service, caller, report.id)
    if row is not None and not is_answer_to(row.body_sha256, digest):
        raise _mismatch(caller, report)
    return None if row is None else receipt_view(row)


def _mismatch(caller: Caller, report: Report) -> Problem:
    return Problem(409, "idempotency.mismatch", figures={"key": report.id}, scheme=caller.scheme)


async def _report(service: Service, caller: Caller, request: Request, name: str, body: bytes) -> Report:
    """The event of a request: the caller's own envelope, or one made around bare data."""
    try:
        content: Any = from_json(body)
    except ValueError as error:
        raise malformed_field("body", f"is not JSON: {error}", caller.scheme) from None
    if not isinstance(content, dict) or not is_plain_json(body):
        raise malformed_field("body", "must be a JSON object", caller.scheme)
    if "specversion" in content:
        return await _own_envelope(service, caller, content, body)
    event_id, moment = idempotency_key(request), await business_moment(service, caller.scheme, request)
    return enveloped(caller, name, event_id, moment, body)


def enveloped(caller: Caller, name: str, event_id: str, moment: datetime, body: bytes) -> Report:
    """Bare data in an envelope of the calling institution; ``body`` is the data's JSON as it came."""
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/partners/{caller.organisation}",
        "type": type_of(name),
        "time": moment.isoformat(),
        "datacontenttype": "application/json",
        "scheme": caller.scheme.id,
    }
    return Report(event_id, moment, json.dumps(attributes).encode()[:-1] + b', "data": ' + body + b"}")


async def _own_envelope(service: Service, caller: Caller, content: dict[str, Any], body: bytes) -> Report:
    try:
        attributes = _Attributes.model_validate(content)
    except ValidationError as error:
        raise malformed_body(error, caller.scheme) from None
    if not _ID.fullmatch(attributes.id):
        raise malformed_field("id", "must be 1 to 200 characters without control characters", caller.scheme)
    moment = service.clock.now()
    if service.clock.mode == "message":
        moment = parse_moment(attributes.time.isoformat(), "time")
        check_step(await current_day(service, caller.scheme.id), business_date(moment))
    return Report(attributes.id, moment, body)


async def _receipt(service: Service, caller: Caller, event_id: str) -> Any:
    """The event's receipt as soon as it is there, or None after ten seconds."""
    wait = _FIRST_WAIT_SECONDS
    deadline = asyncio.get_running_loop().time() + RECEIPT_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        row = await service.receipt(caller.organisation, caller.scheme.id, event_id)
        if row is not None:
            return row
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_SECONDS)
    return None


def _answer(caller: Caller, receipt: ReceiptView, location: str) -> JSONResponse:
    shown = receipt.model_dump(mode="json")
    headers = {"Location": location}
    if receipt.outcome in ("accepted", "duplicate"):
        return JSONResponse(shown, headers=headers)
    status, rule = (409, receipt.rule or "refused") if receipt.outcome == "refused" else (422, "unreadable")
    members = {name: shown[name] for name in ("event_id", "event", "institution", "outcome", "at")}
    raise Problem(status, rule, scheme=caller.scheme, detail=receipt.detail, headers=headers, **members)


def receipt_path(scheme: str, event_id: str) -> str:
    """Where a receipt is read."""
    return f"/v1/schemes/{scheme}/receipts/{quote(event_id, safe='')}"
