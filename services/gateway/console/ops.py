"""How the platform runs, for whoever runs the machines: it needs no Grafana."""

from fastapi import APIRouter, Request, Response

from services.gateway.api.ops import operation
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.shell import Shell


def routes(shell: Shell) -> APIRouter:
    """``/ops``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ops")
    async def show_operation(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.ops")
        view = await operation(shell.service)
        return await shell.page(request, caller, "audit/ops.html", view=view)

    return router
