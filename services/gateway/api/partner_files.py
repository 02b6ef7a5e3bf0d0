"""Partner events as a table: a CSV or Excel file is reported row by row, for institutions without a bus client."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.api.commands import TimeHeader
from services.gateway.api.documents import FILE_BODY
from services.gateway.api.problems import Problem, ProblemBody
from services.gateway.api.requests import business_moment
from services.gateway.api.resources import Cursor, Filter, Limit, reading
from services.gateway.api.responses import PROBLEMS, answer
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import needs
from services.gateway.console.sheets import download, download_from
from services.gateway.documents.formats import LARGEST_BYTES
from services.gateway.documents.multipart import posted_file
from services.gateway.uploads.intake import (
    UploadRowView,
    UploadView,
    errors_of,
    in_turn,
    row_list,
    take,
    upload_list,
    upload_of,
)
from services.gateway.uploads.sheets import template
from services.gateway.views import Page
from shared.contracts.registry import PARTNER_EVENTS
from shared.messaging.service import Service

READ = "page.uploads"
EventName = Annotated[str, Path(description="The event's name, such as `LoanRepaid`.")]
FileName = Annotated[str | None, Query(max_length=300, description="Its file name; with a form, the part's own name.")]
Format = Annotated[Literal["csv", "xlsx"], Query(description="csv or xlsx")]
_TOO_LARGE: dict[int | str, dict[str, Any]] = {413: {"model": ProblemBody, "description": "More than 20 MB"}}
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TABLE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"text/csv; charset=utf-8": {}, _XLSX: {}}}
}


def partner_file_routes(service: Service) -> APIRouter:
    """``/partner-files`` and ``/partner-file-templates``."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["partner events"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))

    @router.post(
        "/partner-files/{name}",
        response_model=UploadView,
        status_code=202,
        summary="Upload a CSV or Excel table of one kind of event.",
        description="Its first row names the fields, as in the template. Each row is reported like any other event, in "
        "the background; the same file again books nothing twice. At most 20 MB and 100,000 rows.",
        responses=_TOO_LARGE,
        openapi_extra=FILE_BODY,
    )
    async def upload(
        request: Request, name: EventName, caller: Caller = caller_of, file_name: FileName = None,
        time: TimeHeader = None,
    ) -> Response:  # fmt: skip
        moment = await business_moment(service, caller.scheme, request)
        async with posted_file(request, LARGEST_BYTES) as (own_name, chunks):
            found = await take(service, caller, name, file_name or own_name, chunks, moment)
        location = f"/v1/schemes/{caller.scheme.id}/partner-files/{found.id}"
        return JSONResponse(found.model_dump(mode="json"), 202, {"Location": location})

    @router.get("/partner-files", response_model=Page[UploadView], summary="One's own uploads, the newest first.")
    async def list_uploads(request: Request, caller: Caller = caller_of) -> Response:
        needs(caller, READ)
        async with reading(service) as connection:
            return answer(request, Page[UploadView](items=await upload_list(connection, caller)))

    @router.get("/partner-files/{id}", response_model=UploadView, summary="How far an upload is.")
    async def read_upload(request: Request, id: str, caller: Caller = caller_of) -> Response:
        needs(caller, READ)
        async with reading(service) as connection:
            return answer(request, UploadView.model_validate(await upload_of(connection, caller, id)))

    @router.get("/partner-files/{id}/rows", response_model=Page[UploadRowView], summary="What became of its rows.")
    async def list_rows(
        request: Request, id: str, caller: Caller = caller_of, outcome: Filter = None, limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:  # fmt: skip
        needs(caller, READ)
        async with reading(service) as connection:
            row = await upload_of(connection, caller, id)
            return answer(request, await row_list(connection, row.id, outcome, limit, cursor))

    @router.get(
        "/partner-files/{id}/errors",
        response_class=Response,
        responses=_TABLE,
        summary="The rejected rows with rule and advice, to be corrected and uploaded again.",
    )
    async def read_errors(id: str, caller: Caller = caller_of) -> Response:
        needs(caller, READ)
        async with in_turn(caller), reading(service) as connection:
            row = await upload_of(connection, caller, id)
            file = await errors_of(connection, caller, row, "zh")
        return download_from(file, f"{row.event}-errors.{row.kind}")

    @router.get(
        "/partner-file-templates/{name}",
        response_class=Response,
        responses=_TABLE,
        summary="An empty table of an event, with what each column holds.",
    )
    async def read_template(name: EventName, caller: Caller = caller_of, format: Format = "csv") -> Response:
        return template_of(caller, name, format)

    return router


def template_of(caller: Caller, name: str, kind: str) -> Response:
    """An event's template as a file; Problem 404 for an unknown event."""
    if name not in PARTNER_EVENTS:
        raise Problem(404, "unknown", "event", {"name": name[:64]}, scheme=caller.scheme)
    return download(template(name, kind), f"{name}.{kind}")
