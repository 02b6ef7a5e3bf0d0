"""An institution's tables of events: templates, uploads and what became of every row."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from services.gateway.api.partner_files import READ, template_of
from services.gateway.api.problems import malformed_field
from services.gateway.api.requests import business_moment
from services.gateway.api.resources import Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may, needs
from services.gateway.console.sheets import download_from
from services.gateway.console.shell import Shell, page_language
from services.gateway.documents.formats import LARGEST_BYTES
from services.gateway.documents.multipart import chunks_of, posted_form
from services.gateway.uploads.intake import UploadView, errors_of, in_turn, row_list, take, upload_list, upload_of
from shared.contracts.registry import PARTNER_EVENTS

OUTCOMES = ("accepted", "duplicate", "refused", "unreadable")


def routes(shell: Shell) -> APIRouter:
    """``/uploads``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/uploads")
    async def list_uploads(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, READ)
        async with reading(shell.service) as connection:
            found = await upload_list(connection, caller)
        events = [name for name in PARTNER_EVENTS if may(caller, name)]
        return await shell.page(request, caller, "uploads/list.html", found=found, events=events)

    @router.get("/uploads/templates/{name}.{kind}")
    async def read_template(name: str, kind: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, READ)
        return template_of(caller, name, "xlsx" if kind == "xlsx" else "csv")

    @router.post("/uploads")
    async def upload(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, READ)
        async with posted_form(request, LARGEST_BYTES, 1) as form:
            event = str(form.get("event", ""))
            file = form.get("file")
            if not isinstance(file, UploadFile) or not file.filename:
                raise malformed_field("file", "Field required", caller.scheme)
            moment = await business_moment(shell.service, caller.scheme, request)
            found = await take(shell.service, caller, event, file.filename, chunks_of(file), moment)
        return RedirectResponse(f"/uploads/{found.id}", 303)

    @router.get("/uploads/{identifier}")
    async def one_upload(
        request: Request, identifier: str, caller: Caller = shell.signed_in, cursor: Cursor = None
    ) -> Response:
        needs(caller, READ)
        outcome = request.query_params.get("outcome", "")
        async with reading(shell.service) as connection:
            row = await upload_of(connection, caller, identifier)
            rows = await row_list(connection, row.id, outcome or None, 100, cursor or None)
        return await shell.page(
            request, caller, "uploads/one.html", view=UploadView.model_validate(row), rows=rows, outcome=outcome,
            outcomes=OUTCOMES,
        )  # fmt: skip

    @router.get("/uploads/{identifier}/errors")
    async def read_errors(request: Request, identifier: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, READ)
        async with in_turn(caller), reading(shell.service) as connection:
            row = await upload_of(connection, caller, identifier)
            file = await errors_of(connection, caller, row, page_language(request))
        return download_from(file, f"{row.event}-errors.{row.kind}")

    return router
