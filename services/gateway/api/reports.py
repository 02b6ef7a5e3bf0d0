"""Reports over the API: asked for, followed, fetched."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway.api.problems import Problem, malformed_body
from services.gateway.api.requests import JSON, read_body
from services.gateway.api.resources import Cursor, Limit, reading
from services.gateway.api.responses import BODY_PROBLEMS, PROBLEMS, answer
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import needs
from services.gateway.documents.files import Files
from services.gateway.documents.names import attachment
from services.gateway.reports.jobs import ReportView, Wish, ask, one_report, report_list
from services.gateway.reports.making import MEDIA_TYPES
from services.gateway.views import Page
from shared.messaging.service import Service

READ = "page.reports"
_FILES: dict[str, Any] = {kind: {} for kind in sorted(MEDIA_TYPES.values())}
_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}


class ReportWish(BaseModel):
    """What report to make; ``organisation`` is a recommender or institution where the kind is about one."""

    model_config = ConfigDict(extra="forbid", title="ReportWish", strict=True)

    kind: str = Field(max_length=64, examples=["custodian_half_year"])
    period: str = Field(max_length=16, examples=["2026H1"])
    organisation: str = Field("", max_length=64)
    language: str = Field("zh", max_length=8, examples=["zh", "en"])
    format: str = Field("pdf", max_length=8, examples=["pdf", "docx", "xlsx"])


_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": ReportWish.model_json_schema()}}}
}


def report_routes(service: Service) -> APIRouter:
    """``/reports``: ask, list, follow, fetch."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["reports"], responses=PROBLEMS)
    files = Files.from_environment()
    caller_of: Any = Depends(caller_dependency(service))

    @router.post(
        "/reports",
        response_model=ReportView,
        status_code=202,
        summary="Ask for a report of all events so far.",
        description="It is made in the background: follow `state` at `/reports/{id}`. "
        "The same one again, with no event in between, is the first one.",
        responses=BODY_PROBLEMS,
        openapi_extra=_BODY,
    )
    async def ask_for(request: Request, caller: Caller = caller_of) -> Response:
        try:
            wish = ReportWish.model_validate_json(await read_body(request, JSON))
        except ValidationError as error:
            raise malformed_body(error, caller.scheme) from None
        found = await ask(service, caller, Wish(**wish.model_dump()))
        location = f"/v1/schemes/{caller.scheme.id}/reports/{found.id}"
        return JSONResponse(found.model_dump(mode="json"), 202, {"Location": location})

    @router.get("/reports", response_model=Page[ReportView], summary="Reports asked for, newest first.")
    async def list_reports(
        request: Request, caller: Caller = caller_of, limit: Limit = 100, cursor: Cursor = None
    ) -> Response:
        needs(caller, READ)
        async with reading(service) as connection:
            return answer(request, await report_list(connection, caller, limit, cursor))

    @router.get("/reports/{id}", response_model=ReportView, summary="A report: whether it is made.")
    async def read_report(request: Request, id: str, caller: Caller = caller_of) -> Response:
        async with reading(service) as connection:
            return answer(request, await one_report(connection, caller, id))

    @router.get(
        "/reports/{id}/content",
        response_class=Response,
        summary="The file itself.",
        responses={200: {"description": "The file", "content": _FILES}},
    )
    async def content(id: str, caller: Caller = caller_of) -> Response:
        return await content_of(service, files, caller, id)

    return router


async def content_of(service: Service, files: Files, caller: Caller, identifier: str) -> FileResponse:
    """A report's file as an attachment; Problem 404 while it is not made."""
    async with service.engine.connect() as connection:
        found = await one_report(connection, caller, identifier)
    if found.state != "done" or found.sha256 is None:
        raise Problem(404, "unknown", "report_file", {"id": identifier[:64]}, scheme=caller.scheme)
    path = files.path(found.sha256)
    if not path.is_file():
        raise Problem(503, "unavailable", scheme=caller.scheme)
    headers = {**_HEADERS, "Content-Disposition": attachment(found.name)}
    return FileResponse(path, media_type=MEDIA_TYPES[found.format], headers=headers)
