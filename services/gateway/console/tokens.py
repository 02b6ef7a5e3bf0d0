"""An organisation's bearer tokens for its own systems: made, listed, revoked; the token is shown once."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api.problems import Problem
from services.gateway.auth import tokens
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.auth.record import keep
from services.gateway.console.doing import posted_fields
from services.gateway.console.shell import Shell

DAYS = ("30", "90", "365", "1095")


def routes(shell: Shell) -> APIRouter:
    """``/tokens``."""
    router = APIRouter(include_in_schema=False)

    async def show(request: Request, caller: Caller, status: int = 200, **context: Any) -> Response:
        async with shell.service.engine.connect() as connection:
            found = await tokens.all_tokens(connection, caller.scheme.id, caller.organisation)
        shown = {"made": "", "saved": request.query_params.get("saved") == "revoked", "fault": ""} | context
        now = shell.service.clock.now()
        newest_first = sorted(found, key=lambda one: one.created_at, reverse=True)
        return await shell.page(
            request, caller, "account/tokens.html", status=status, tokens=newest_first, now=now, days=DAYS, **shown
        )

    @router.get("/tokens")
    async def list_tokens(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "tokens.manage")
        return await show(request, caller)

    @router.post("/tokens")
    async def make_token(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "tokens.manage")
        posted = await posted_fields(request)
        text, days = "".join(posted.get("note", ())).strip(), "".join(posted.get("days", ()))
        if not text or len(text) > 200 or days not in DAYS:
            return await show(request, caller, 422, fault="note")
        expires_at = shell.service.clock.now() + timedelta(days=int(days))
        async with shell.service.engine.begin() as connection:
            identifier, token = await tokens.create(
                connection, caller.scheme.id, caller.organisation, text, expires_at
            )
            await keep(connection, caller, shell.service.clock.now(), "tokens.create", identifier)
        return await show(request, caller, made=token)

    @router.post("/tokens/{identifier}/revoked")
    async def revoke_token(request: Request, identifier: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "tokens.manage")
        holder = tokens.Holder(caller.scheme.id, caller.organisation)
        async with shell.service.engine.begin() as connection:
            ended = await tokens.revoke(connection, identifier, shell.service.clock.now(), holder)
            if ended:
                await keep(connection, caller, shell.service.clock.now(), "tokens.revoke", identifier)
        if not ended:
            raise Problem(404, "unknown", "token", {"id": identifier[:64]}, scheme=caller.scheme)
        return RedirectResponse("/tokens?saved=revoked", 303)

    return router
