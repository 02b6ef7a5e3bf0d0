"""Documents of a case or loan: listed, uploaded, downloaded."""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.datastructures import UploadFile

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.api.resources import reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.doing import back_of
from services.gateway.console.shell import Shell, page_language
from services.gateway.documents.formats import LARGEST_BYTES
from services.gateway.documents.intake import Documents
from services.gateway.documents.multipart import chunks_of, posted_form
from services.gateway.documents.queries import document_list
from services.gateway.documents.serving import READ, content_of
from shared.scheme.refusals import explain

MOST_FILES = 5
# What a document may be, besides the materials of a referral that the scheme lists.
KINDS = (
    "recommendation_letter", "loan_contract", "guarantee_contract", "insurance_policy", "disbursement_proof",
    "overdue_proof", "dunning_record", "judgment", "payment_voucher", "evidence", "other",
)  # fmt: skip


def materials_of(caller: Caller) -> list[str]:
    """What a referral needs under the scheme (eligible.materials)."""
    listed = caller.scheme.value("materials")
    return [str(kind) for kind in listed] if isinstance(listed, list | tuple) else []


def kinds_of(caller: Caller) -> list[str]:
    """What an upload may be said to be, in the order of a file's life."""
    return [*materials_of(caller), *KINDS]


def routes(shell: Shell) -> APIRouter:
    """``GET /documents?about=``, ``GET /documents/list?about=`` (the section alone), ``POST /documents``, contents."""
    router = APIRouter(include_in_schema=False)
    room = Documents(shell.service)

    async def shown(
        request: Request, caller: Caller, template: str, about: str, problem: Problem | None = None, back: str = ""
    ) -> Response:
        needs(caller, READ)
        language = page_language(request)
        async with reading(shell.service) as connection:
            found = await document_list(connection, caller, about[:64])
        return await shell.page(
            request, caller, template, status=problem.status if problem else 200, about=about[:64],
            documents=found.items, document_kinds=kinds_of(caller), back=back,
            wrong=problem and explain(problem.rule, problem.reason, problem.figures, language, caller.scheme),
        )  # fmt: skip

    @router.get("/documents")
    async def page(request: Request, about: str = "", caller: Caller = shell.signed_in) -> Response:
        return await shown(request, caller, "documents/page.html", about)

    @router.get("/documents/list")
    async def section(request: Request, about: str = "", caller: Caller = shell.signed_in) -> Response:
        return await shown(request, caller, "documents/section.html", about)

    @router.post("/documents")
    async def upload(request: Request, caller: Caller = shell.signed_in) -> Response:
        async with posted_form(request, MOST_FILES * LARGEST_BYTES, MOST_FILES) as form:
            posted = {name: [value] for name, value in form.multi_items() if isinstance(value, str)}
            about, kind = ("".join(posted.get(name, ())).strip() for name in ("about", "kind"))
            back = back_of(posted) if "_back" in posted else f"/documents?about={quote(about, safe='')}"
            await room.may_upload(caller, about)
            files = [one for one in form.getlist("file") if isinstance(one, UploadFile) and one.filename]
            try:
                if not files:
                    raise malformed_field("file", "Field required", caller.scheme)
                taken = [await room.upload(caller, about, kind, one.filename or "", chunks_of(one)) for one in files]
            except Problem as problem:
                if _wants_json(request):
                    raise
                return await shown(request, caller, "documents/page.html", about, problem, back)
        if _wants_json(request):
            return JSONResponse([one.model_dump(mode="json") for one in taken], 201)
        return RedirectResponse(f"{back.partition('#')[0]}#documents", 303)

    @router.get("/documents/{identifier}")
    async def content(identifier: str, caller: Caller = shell.signed_in) -> Response:
        return await content_of(room, caller, identifier)

    return router


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
