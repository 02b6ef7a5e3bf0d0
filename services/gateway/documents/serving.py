"""A document given out: as an attachment that no browser opens as a page of ours."""

from typing import Final

from fastapi.responses import FileResponse

from services.gateway.api.problems import Problem
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.documents.intake import Documents
from services.gateway.documents.names import attachment
from services.gateway.documents.queries import one_document

READ = "page.documents"
_SANDBOX: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}


async def content_of(room: Documents, caller: Caller, identifier: str) -> FileResponse:
    """The file of a document; Problem 404 for one that is not there for the caller or not (yet) given out."""
    needs(caller, READ)
    async with room.service.engine.connect() as connection:
        found = await one_document(connection, caller, identifier)
    if found is None or found.state == "refused":
        raise Problem(404, "unknown", "document", {"id": identifier[:64]}, scheme=caller.scheme)
    if found.state != "ready":
        raise Problem(404, "unknown", "document_quarantined", {"name": found.name}, scheme=caller.scheme)
    path = room.files.path(found.sha256)
    if not path.is_file():
        raise Problem(503, "unavailable", scheme=caller.scheme)
    return FileResponse(
        path, media_type=found.media_type, headers={**_SANDBOX, "Content-Disposition": attachment(found.name)}
    )
