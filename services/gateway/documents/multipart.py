"""Forms with files, read within a limit: files are spooled to disk, never whole in memory."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from services.gateway.api.problems import Problem, malformed_field

_CHUNK = 1 << 16
FIELDS_BYTES = 1_000_000


def is_multipart(request: Request) -> bool:
    """Whether the body is a form that can carry files."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "multipart/form-data"


@asynccontextmanager
async def posted_form(request: Request, limit_bytes: int, most_files: int) -> AsyncIterator[FormData]:
    """The form of a request; Problem 413 above the limit (also when sent in chunks), 422 when it is no form."""
    parser = MultiPartParser(
        request.headers,
        bounded(request, limit_bytes + FIELDS_BYTES),
        max_files=most_files,
        max_fields=5000,
        max_part_size=FIELDS_BYTES,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise malformed_field("body", str(error)[:200] or "is not a form") from None
    try:
        yield form
    finally:
        await form.close()


async def bounded(request: Request, limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes; Problem 413 as soon as it passes the limit."""
    announced, size = request.headers.get("content-length", ""), 0
    if announced.isdecimal() and int(announced[:12]) > limit_bytes:
        raise too_large(limit_bytes)
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        yield chunk


def too_large(limit_bytes: int) -> Problem:
    """Problem 413; the connection ends, since the rest of the body is not read."""
    limit = f"{limit_bytes // 1_000_000} MB"
    return Problem(413, "too_large", figures={"limit": limit}, headers={"Connection": "close"})


async def chunks_of(file: UploadFile) -> AsyncIterator[bytes]:
    """A spooled file piece by piece."""
    while chunk := await file.read(_CHUNK):
        yield chunk


@asynccontextmanager
async def posted_file(request: Request, limit_bytes: int) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    """The one file of a request, in a form or as the body itself: its name, empty where it has none, and its bytes."""
    if not is_multipart(request):
        yield "", bounded(request, limit_bytes)
        return
    async with posted_form(request, limit_bytes, 1) as form:
        file = next((one for _, one in form.multi_items() if isinstance(one, UploadFile)), None)
        if file is None:
            raise malformed_field("file", "Field required")
        yield file.filename or "", chunks_of(file)
