"""The console put onto the gateway's application: its pages, its static files, its refusals as pages."""

import hashlib

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from services.gateway.api.events import Feed
from services.gateway.api.problems import Problem
from services.gateway.console import (
    account,
    audit,
    cases,
    claims,
    documents,
    doing,
    explain,
    financing,
    live,
    loans,
    obligations,
    organisations,
    pool,
    recoveries,
    referral,
    reports,
    review,
    scheme,
    worklist,
)
from services.gateway.console.shell import ROOM, Shell
from shared.messaging.service import Service

AREAS = (
    account, worklist, cases, referral, review, financing, claims, loans, pool, recoveries, obligations,
    organisations, documents, reports, scheme, audit, doing, explain, live,
)  # fmt: skip


def build_console(app: FastAPI, service: Service, feed: Feed) -> Shell:
    """Add every page; what they refuse is a page too, while the API's refusals stay problems."""
    shell = Shell(service, feed)
    for area in AREAS:
        app.include_router(area.routes(shell))
    app.mount("/static/console", StaticFiles(directory=ROOM / "static"), name="console")
    return shell
