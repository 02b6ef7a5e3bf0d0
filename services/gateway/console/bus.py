"""An institution's credentials for the bus: the commission issues and ends them; a new one is shown once."""

import contextlib
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api.bus_access import CredentialsWish, let_in, shut_out, waiting_of
from services.gateway.api.problems import Problem
from services.gateway.api.resources import reading
from services.gateway.auth import bus_access
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import BUS, needs
from services.gateway.console.doing import posted_fields
from services.gateway.console.shell import Shell
from services.gateway.queries.organisations import institution_list
from shared.messaging.bus import ServiceUnavailable

DAYS = ("90", "365", "1095")


def routes(shell: Shell) -> APIRouter:
    """``/institutions/{institution}/bus``."""
    router = APIRouter(include_in_schema=False)

    async def show(request: Request, caller: Caller, institution: str, status: int = 200, **context: Any) -> Response:
        async with reading(shell.service) as connection:
            found = await institution_list(
                connection, caller.scheme.id, kind=None, institution=institution, limit=1, cursor=None
            )
            rows = await bus_access.credentials_of(connection, caller.scheme.id, institution)
        if not found.items:
            raise Problem(404, "unknown", "institution", {"institution": institution[:64]}, scheme=caller.scheme)
        backlog = None
        with contextlib.suppress(ServiceUnavailable):
            backlog = await waiting_of(shell.service, institution)
        shown = {"made": "", "saved": "saved" in request.query_params, "fault": False} | context
        return await shell.page(
            request, caller, "organisations/bus.html", status=status, view=found.items[0], issued=rows[::-1],
            backlog=backlog, now=shell.service.clock.now(), days=DAYS, is_on=bus_access.keys_directory() is not None,
            **shown,
        )  # fmt: skip

    @router.get("/institutions/{institution}/bus")
    async def list_credentials(request: Request, institution: str, caller: Caller = shell.signed_in) -> Response:
        if not (caller.is_institution and institution == caller.organisation):
            needs(caller, "page.institutions")
        return await show(request, caller, institution)

    @router.post("/institutions/{institution}/bus")
    async def issue(request: Request, institution: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, BUS)
        posted = await posted_fields(request)
        note, days = ("".join(posted.get(name, ())).strip() for name in ("note", "days"))
        if not note or len(note) > 200 or days not in DAYS:
            return await show(request, caller, institution, 422, fault=True)
        wish = CredentialsWish(note=note, days=int(days), rotate="rotate" in posted)
        issued = await let_in(shell.service, caller, institution, wish)
        return await show(request, caller, institution, made=issued.credentials)

    @router.post("/institutions/{institution}/bus/{identifier}/ended")
    async def end(
        request: Request, institution: str, identifier: str, caller: Caller = shell.signed_in
    ) -> Response:
        needs(caller, BUS)
        await shut_out(shell.service, caller, institution, identifier)
        return RedirectResponse(f"/institutions/{institution}/bus?saved", 303)

    return router
