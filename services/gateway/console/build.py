"""The console put onto the gateway's application: its pages, its static files, its refusals as pages."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from services.gateway.api.events import Feed
from services.gateway.api.problems import Present, Problem
from services.gateway.console import (
    account,
    audit,
    bus,
    cases,
    claims,
    documents,
    doing,
    explain,
    financing,
    live,
    loans,
    obligations,
    ops,
    organisations,
    parked,
    pool,
    recoveries,
    referral,
    reports,
    review,
    scheme,
    uploads,
    worklist,
)
from services.gateway.console.doing import back_of, posted_fields
from services.gateway.console.shell import ROOM, Shell
from shared.messaging.service import Service

AREAS = (
    account, worklist, cases, referral, review, financing, claims, loans, pool, recoveries, obligations,
    organisations, bus, ops, parked, uploads, documents, reports, scheme, audit, doing, explain, live,
)  # fmt: skip


def build_console(app: FastAPI, service: Service, feed: Feed) -> Shell:
    """Add every page and the static files."""
    shell = Shell(service, feed)
    for area in AREAS:
        app.include_router(area.routes(shell))
    app.add_api_route("/language", _choose_language, methods=["POST"], include_in_schema=False)
    app.mount("/static/console", StaticFiles(directory=ROOM / "static"), name="console")
    return shell


def presenter(shell: Shell) -> Present:
    """How failures are shown: the API's as problems, the pages' as pages."""

    async def present(request: Request, problem: Problem) -> Response:
        if request.url.path.startswith("/v1/") or "text/html" not in request.headers.get("accept", "text/html"):
            return problem.response(request)
        if "location" in {name.lower() for name in problem.headers}:
            return Response(status_code=303, headers=problem.headers)
        caller = None if problem.rule in ("unavailable", "internal") else getattr(request.state, "caller", None)
        return await shell.refused(request, caller, problem)

    return present


async def _choose_language(request: Request) -> Response:
    posted = await posted_fields(request)
    answer = RedirectResponse(back_of(posted), 303)
    answer.set_cookie("language", "en" if posted.get("language") == ["en"] else "zh", 31_536_000, samesite="lax")
    return answer
