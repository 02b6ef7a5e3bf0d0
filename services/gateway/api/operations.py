"""The scheme's rules, business days, receipts of partner events, and whether everything published has been taken."""

import json
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from services.gateway.api.problems import Problem, malformed_body
from services.gateway.api.requests import JSON, check_step, read_body
from services.gateway.api.resources import Cursor, Filter, Limit, reading
from services.gateway.api.responses import BODY_PROBLEMS, PROBLEMS, answer
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.business_days import announce_through, current_day
from services.gateway.queries import events
from services.gateway.views import Page, ReceiptView
from shared.contracts.base import Day, Shape
from shared.messaging.bus import ServiceUnavailable
from shared.messaging.service import Service
from shared.scheme.loader import Scheme


class BusinessDay(Shape):
    """The day that the scheme should stand on."""

    date: Day


class AnnouncedBody(BaseModel):
    """The current business day and the days that this request announced."""

    date: str
    announced: list[str]


class SettingView(BaseModel):
    """One number or choice of the scheme with its clause and, where the source is silent, the reading chosen."""

    key: str
    value: Any
    clause: str
    reading: str


class RuleView(BaseModel):
    """A rule's id, clause and titles."""

    id: str
    clause: str
    zh: str
    en: str


class OrganisationView(BaseModel):
    """An agency of the scheme."""

    id: str
    kind: str
    name: str
    en: str


class SchemeView(BaseModel):
    """The scheme as data, with the version that decisions cite."""

    id: str
    name: str
    version: str
    settings: list[SettingView]
    rules: list[RuleView]
    organisations: list[OrganisationView]


class ProgressView(BaseModel):
    """``settled`` when every outbox is empty and every consumer has taken everything."""

    settled: bool
    outbox: dict[str, Any]
    consumers: dict[str, Any]
    parked: dict[str, Any] = {}


def operation_routes(service: Service) -> APIRouter:
    """Operations beside the resources."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["operation"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))
    _scheme(router, caller_of)
    _business_day(router, service, caller_of)
    _receipts(router, service, caller_of)
    return router


def _scheme(router: APIRouter, caller_of: Any) -> None:
    @router.get("/scheme", response_model=SchemeView, summary="The rules: settings, clauses, readings, organisations.")
    async def read_scheme(request: Request, caller: Caller = caller_of) -> Response:
        return answer(request, scheme_view(caller.scheme))


def scheme_view(scheme: Scheme) -> SchemeView:
    """A scheme as it is shown; dates in settings become text."""
    settings = [
        SettingView(
            key=one.key, value=json.loads(json.dumps(one.value, default=str)), clause=one.clause, reading=one.reading
        )
        for one in scheme.settings.values()
    ]
    rules = [RuleView(**one.model_dump()) for one in scheme.rules.values()]
    agencies = [OrganisationView(**one.model_dump()) for one in scheme.organisations.values()]
    return SchemeView(
        id=scheme.id, name=scheme.name, version=scheme.version, settings=settings, rules=rules, organisations=agencies
    )


def _business_day(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.post(
        "/business-day",
        response_model=AnnouncedBody,
        responses=BODY_PROBLEMS,
        summary="Announce every business day up to a date (tests, demos).",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BusinessDay"}}},
            }
        },
    )
    async def announce_business_day(request: Request, caller: Caller = caller_of) -> JSONResponse:
        caller.needs_agency()
        if service.clock.mode == "server":
            raise Problem(422, "clock", scheme=caller.scheme)
        body = await read_body(request, JSON)
        try:
            wanted = BusinessDay.model_validate_json(body).date
        except ValueError as error:
            raise malformed_body(error, caller.scheme) from None  # type: ignore[arg-type]
        check_step(await current_day(service, caller.scheme.id), wanted)
        announced = await announce_through(service, caller.scheme.id, wanted)
        current = await current_day(service, caller.scheme.id)
        return JSONResponse({"date": str(current), "announced": [str(day) for day in announced]})

    @router.get("/progress", response_model=ProgressView, summary="Whether everything published has been taken.")
    async def read_progress(request: Request, caller: Caller = caller_of) -> JSONResponse:
        caller.needs_agency()
        try:
            found = await service.progress()
        except (ServiceUnavailable, AttributeError):
            raise Problem(503, "unavailable", scheme=caller.scheme, headers={"Retry-After": "1"}) from None
        return JSONResponse(found, headers={"Cache-Control": "no-store"})


def _receipts(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.get("/receipts", response_model=Page[ReceiptView], summary="Receipts of partner events.")
    async def list_receipts(
        request: Request,
        caller: Caller = caller_of,
        institution: Filter = None,
        outcome: Filter = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        async with reading(service) as connection:
            return answer(
                request,
                await events.receipt_list(
                    connection,
                    caller.scheme.id,
                    institution=caller.party or institution,
                    outcome=outcome,
                    limit=limit,
                    cursor=cursor,
                ),
            )

    @router.get("/receipts/{event_id:path}", response_model=ReceiptView, summary="The receipt of one partner event.")
    async def read_receipt(
        request: Request, event_id: str, caller: Caller = caller_of, institution: Filter = None
    ) -> Response:
        async with reading(service) as connection:
            found = await events.receipts_of(connection, caller.scheme.id, event_id, caller.party or institution)
        if not found:
            raise Problem(404, "unknown", "receipt", {"event_id": event_id[:200]}, scheme=caller.scheme)
        return answer(request, found[0])
