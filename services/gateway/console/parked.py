"""Parked messages: what whoever runs the machines has to settle."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api.parked import Settlement, parked_page, settle
from services.gateway.api.problems import Problem
from services.gateway.api.resources import Cursor
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import PARKED, needs
from services.gateway.console.doing import posted_fields
from services.gateway.console.shell import Shell
from shared.messaging.envelope import printable

SHOWN = 50


def routes(shell: Shell) -> APIRouter:
    """``/parked``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/parked")
    async def list_parked(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.parked")
        everything = request.query_params.get("all") == "yes"
        found = await parked_page(shell.service, caller, settled=everything, limit=SHOWN, cursor=cursor or None)
        saved = request.query_params.get("saved", "")
        return await shell.page(request, caller, "audit/parked.html", found=found, everything=everything, saved=saved)

    @router.post("/parked/{service}/{identifier}")
    async def settle_parked(
        request: Request, service: str, identifier: str, caller: Caller = shell.signed_in
    ) -> Response:
        needs(caller, PARKED)
        posted: dict[str, Any] = {name: "".join(values) for name, values in (await posted_fields(request)).items()}
        do, reason = posted.get("do", ""), printable(posted.get("reason", "").strip(), 500)
        if do not in ("replay", "discard"):
            raise Problem(422, "parked", "reason", scheme=caller.scheme)
        await settle(shell.service, caller, service, identifier, Settlement(do=do, reason=reason))
        return RedirectResponse(f"/parked?saved={do}", 303)

    return router
