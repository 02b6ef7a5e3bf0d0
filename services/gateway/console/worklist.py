"""The first page after sign-in: what waits for me, by kind, overdue first."""

from itertools import groupby

from fastapi import APIRouter, Request, Response

from services.gateway.api.resources import reading
from services.gateway.auth.callers import Caller
from services.gateway.console.shell import Shell
from services.gateway.queries.worklist import KINDS, counts, counts_by_kind, worklist

_ORDER = {kind: place for place, kind in enumerate(KINDS)}


def routes(shell: Shell) -> APIRouter:
    """``GET /``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def mine(request: Request, caller: Caller = shell.signed_in) -> Response:
        today = await shell.today(caller)
        async with reading(shell.service) as connection:
            items = await worklist(connection, caller, today)
            numbers = await counts_by_kind(connection, caller, today)
            areas = await counts(connection, caller, today)
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
            counts=areas,
        )

    return router
