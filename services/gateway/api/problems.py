"""Refusals on the wire: RFC 9457 problems whose detail tells a clerk, in the caller's language, what to do."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from shared.contracts.base import Finding
from shared.database import is_outage
from shared.scheme.loader import Scheme
from shared.scheme.refusals import Language, explain

log = logging.getLogger("riskpool.gateway")
MEDIA_TYPE = "application/problem+json"
TITLES: dict[int, dict[Language, str]] = {
    400: {"zh": "请求有误", "en": "Bad request"},
    401: {"zh": "未登录", "en": "Not signed in"},
    403: {"zh": "无权办理", "en": "Not yours to do"},
    404: {"zh": "找不到", "en": "Not found"},
    405: {"zh": "不支持的操作", "en": "Method not allowed"},
    409: {"zh": "不符合规则", "en": "Refused by a rule"},
    413: {"zh": "内容过大", "en": "Content too large"},
    415: {"zh": "格式不支持", "en": "Unsupported media type"},
    422: {"zh": "内容不符合要求", "en": "Malformed"},
    500: {"zh": "系统内部错误", "en": "Internal error"},
    503: {"zh": "服务暂不可用", "en": "Service unavailable"},
    504: {"zh": "服务未及时答复", "en": "No answer in time"},
}


class FieldError(BaseModel):
    """One field that is not as it should be."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """An RFC 9457 problem; ``rule`` is the first failing rule and ``detail`` says what to do."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(examples=["urn:riskpool:rule:claim.statement"])
    title: str
    status: int
    detail: str
    rule: str
    clause: str = ""
    figures: dict[str, str] = {}
    findings: list[Finding] = []
    scheme_version: str = ""
    errors: list[FieldError] = []


class Problem(Exception):
    """A refusal on its way to the caller."""

    def __init__(
        self,
        status: int,
        rule: str,
        reason: str = "",
        figures: Mapping[str, str] | None = None,
        *,
        scheme: Scheme | None = None,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{status} {rule} {reason}")
        self.status, self.rule, self.reason, self.figures = status, rule, reason, dict(figures or {})
        self.scheme, self.detail, self.headers, self.members = scheme, detail, dict(headers or {}), members

    def response(self, request: Request) -> JSONResponse:
        """The problem in the language that the caller prefers."""
        language = language_of(request)
        body: dict[str, Any] = {
            "type": f"urn:riskpool:rule:{self.rule}",
            "title": TITLES.get(self.status, TITLES[400])[language],
            "status": self.status,
            "detail": self.detail or explain(self.rule, self.reason, self.figures, language, self.scheme),
            "rule": self.rule,
            "clause": self.scheme.clause(self.rule) if self.scheme else "",
            "figures": self.figures,
            "findings": [],
            "scheme_version": self.scheme.version if self.scheme else "",
            **self.members,
        }
        body["findings"] = [_titled(finding, self.scheme, language) for finding in body["findings"]]
        headers = {"Content-Language": language, "Vary": "Accept-Language, Authorization", **self.headers}
        return JSONResponse(body, self.status, headers, media_type=MEDIA_TYPE)


def _titled(finding: Mapping[str, Any], scheme: Scheme | None, language: Language) -> dict[str, Any]:
    rule = scheme.rules.get(str(finding.get("rule"))) if scheme else None
    return {**finding, "title": (rule.zh if language == "zh" else rule.en) if rule else ""}


def language_of(request: Request) -> Language:
    """Chinese unless the Accept-Language header prefers English."""
    weights: dict[str, float] = {}
    for part in request.headers.get("accept-language", "").split(",")[:20]:
        tag, _, parameters = part.strip().partition(";")
        weights.setdefault(tag.strip().lower()[:2], _quality(parameters))
    return "en" if weights.get("en", 0.0) > weights.get("zh", 0.0) else "zh"


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return min(max(float(value), 0.0), 1.0) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def malformed(errors: Sequence[Mapping[str, Any]], scheme: Scheme | None = None) -> Problem:
    """Problem 422 naming every field that is not as it should be, without the values."""
    listed = [{"field": ".".join(map(str, e["loc"])) or "body", "message": str(e["msg"])} for e in errors[:100]]
    problem = "; ".join(f"{one['field']}: {one['message']}" for one in listed[:5])
    return Problem(422, "malformed", figures={"problem": problem}, scheme=scheme, errors=listed)


def malformed_field(field: str, message: str, scheme: Scheme | None = None) -> Problem:
    """Problem 422 about one field, header or parameter."""
    return malformed([{"loc": (field,), "msg": message}], scheme)


def malformed_body(error: ValidationError, scheme: Scheme | None = None) -> Problem:
    """Problem 422 of a body that its contract class does not accept."""
    return malformed([dict(one) for one in error.errors(include_input=False, include_url=False)], scheme)


Present = Callable[[Request, Problem], Awaitable[Response]]


async def as_json(request: Request, problem: Problem) -> Response:
    """A problem as the API answers it."""
    return problem.response(request)


def install(app: FastAPI, present: Present = as_json) -> None:
    """Answer every failure of the application as a problem, shown by ``present``."""

    async def answer(request: Request, error: Exception) -> Response:
        return await present(request, _as_problem(request, error))

    for kind in (Problem, RequestValidationError, HTTPException, SQLAlchemyError, OSError, Exception):
        app.add_exception_handler(kind, answer)


def _as_problem(request: Request, error: Exception) -> Problem:
    path = request.url.path[:200]
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return malformed(error.errors())
        case HTTPException():
            return _of_http(request, error)
        case SQLAlchemyError() | OSError() if is_outage(error):
            # A database that is away or starting is no fault of the request: to be tried again.
            log.warning("the database is away", extra={"path": path, "error": repr(error)[:300]})
            return Problem(503, "unavailable", headers={"Retry-After": "1"})
    log.error("request failed", exc_info=error, extra={"path": path})
    return Problem(500, "internal", headers={"Connection": "close"})


def _of_http(request: Request, error: HTTPException) -> Problem:
    reasons = {404: ("unknown", "path"), 405: ("method", "")}
    rule, reason = reasons.get(error.status_code, ("request", ""))
    figures = {
        "path": request.url.path[:200],
        "method": request.method,
        "problem": HTTPStatus(error.status_code).phrase,
    }
    return Problem(error.status_code, rule, reason, figures, headers=error.headers)
