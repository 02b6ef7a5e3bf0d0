"""The first page after sign-in: what waits for me, by kind, overdue first."""

from itertools import groupby

from fastapi import APIRouter, Request, Response

from services.gateway.auth.callers import Caller
from services.gateway.console.shell import Shell, today_of
from services.gateway.queries.worklist import KINDS, worklist

_ORDER = {kind: place for place, kind in enumerate(KINDS)}


def routes(shell: Shell) -> APIRouter:
    """``GET /``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def mine(request: Request, caller: Caller = shell.signed_in) -> Response:
        today = today_of(request)
        key = ("worklist", caller.scheme.id, caller.organisation, caller.roles, today)
        items = await shell.kept(request, key, lambda connection: worklist(connection, caller, today))
        numbers = await shell.waiting(request, caller)
        by_kind = sorted(items, key=lambda one: _ORDER[one.kind])
        groups = [(kind, list(some)) for kind, some in groupby(by_kind, key=lambda one: one.kind)]
        groups.sort(key=lambda group: (not any(one.overdue for one in group[1]), _ORDER[group[0]]))
        return await shell.page(
            request,
            caller,
            "worklist/worklist.html",
            groups=groups,
            numbers=numbers,
            overdue=sum(one.overdue for one in items),
            total=sum(numbers.values()),
        )

    return router
