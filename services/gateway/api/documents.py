"""Documents over the API: the same store and checks as in the console."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from services.gateway.api.problems import Problem, ProblemBody
from services.gateway.api.resources import Cursor, Limit, reading
from services.gateway.api.responses import PROBLEMS, answer
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import needs
from services.gateway.documents.formats import LARGEST_BYTES, MEDIA_TYPES
from services.gateway.documents.intake import Documents
from services.gateway.documents.multipart import posted_file
from services.gateway.documents.queries import DocumentView, document_list
from services.gateway.documents.serving import READ, content_of
from services.gateway.views import Page
from shared.messaging.service import Service

About = Annotated[str, Query(min_length=1, max_length=64, description="The credit code or loan number it is about.")]
Kind = Annotated[str, Query(pattern="^[a-z][a-z0-9_]{0,63}$", description="What it is, such as `business_licence`.")]
FileName = Annotated[str | None, Query(max_length=300, description="Its file name; with a form, the part's own name.")]
_BINARY = {"type": "string", "format": "binary"}
FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY}}
            },
        },
    }
}
_FILES: dict[str, Any] = {kind: {} for kind in sorted(set(MEDIA_TYPES.values()))}
_OTHERS = ["DELETE", "HEAD", "OPTIONS", "PATCH", "PUT", "TRACE"]
_TOO_LARGE: dict[int | str, dict[str, Any]] = {413: {"model": ProblemBody, "description": "More than 20 MB"}}


def document_routes(service: Service) -> APIRouter:
    """``/documents``: upload, list, content."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["documents"], responses=PROBLEMS)
    room = Documents(service)
    caller_of: Any = Depends(caller_dependency(service))

    @router.post(
        "/documents",
        response_model=DocumentView,
        status_code=201,
        summary="Upload a document of a case or loan.",
        description="pdf, jpg, png, docx, xlsx or ofd, checked by content, at most 20 MB. The same file again is the "
        "first one. `state` is `quarantined` until a configured scanner has looked at it.",
        responses=_TOO_LARGE,
        openapi_extra=FILE_BODY,
    )
    async def upload(
        request: Request, about: About, kind: Kind, caller: Caller = caller_of, name: FileName = None
    ) -> Response:
        await room.may_upload(caller, about)
        async with posted_file(request, LARGEST_BYTES) as (own_name, chunks):
            found = await room.upload(caller, about, kind, name or own_name, chunks)
        return JSONResponse(found.model_dump(mode="json"), 201)

    @router.get("/documents", response_model=Page[DocumentView], summary="Documents of a case or loan, oldest first.")
    async def list_documents(
        request: Request, about: About, caller: Caller = caller_of, limit: Limit = 100, cursor: Cursor = None
    ) -> Response:
        needs(caller, READ)
        async with reading(service) as connection:
            return answer(request, await document_list(connection, caller, about, limit, cursor))

    @router.api_route("/documents", methods=_OTHERS, include_in_schema=False)
    async def other(request: Request) -> Response:
        # The framework would name the methods of the first route of this path only.
        figures = {"path": request.url.path[:200], "method": request.method}
        raise Problem(405, "method", figures=figures, headers={"Allow": "GET, POST"})

    @router.get(
        "/documents/{id}/content",
        response_class=Response,
        summary="The file itself.",
        responses={200: {"description": "The file", "content": _FILES}},
    )
    async def content(id: str, caller: Caller = caller_of) -> Response:
        return await content_of(room, caller, id)

    return router
