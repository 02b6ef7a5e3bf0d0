"""Answers with a weak ETag of their content, so that an unchanged resource costs one line."""

import hashlib

from fastapi import Request, Response
from pydantic import BaseModel

from services.gateway.api.problems import ProblemBody

PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ProblemBody, "description": what}
    for status, what in (
        (401, "No valid token"),
        (403, "Not yours (rule `permission`)"),
        (404, "Unknown (rule `unknown`)"),
        (422, "Malformed (rule `malformed`)"),
        (503, "A service is away: try again with the same key"),
    )
}
BODY_PROBLEMS: dict[int | str, dict[str, object]] = {
    **PROBLEMS,
    413: {"model": ProblemBody, "description": "More than 1 MB"},
    415: {"model": ProblemBody, "description": "Not JSON"},
}


def answer(request: Request, view: BaseModel) -> Response:
    """The view as JSON, or 304 when the caller has it already."""
    content = view.model_dump_json().encode()
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Accept"}
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known or tag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
