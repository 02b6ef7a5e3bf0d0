"""Who may do what, shown from the very table that decides it."""

from fastapi import APIRouter, Request, Response

from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import ACTIONS, KINDS, ROLES, TABLE, needs
from services.gateway.auth.separation import DRAFTED
from services.gateway.console.shell import Shell
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS

GROUPS = ("page", "command", "event", "reports", "other")


def routes(shell: Shell) -> APIRouter:
    """``/permissions``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/permissions")
    async def permissions(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.permissions")
        kind = request.query_params.get("kind", caller.kind)
        shown = kind if kind in KINDS else KINDS[0]
        return await shell.page(
            request,
            caller,
            "account/permissions.html",
            kinds=KINDS,
            kind=shown,
            roles=ROLES,
            groups=[(group, [one for one in ACTIONS if group_of(one) == group]) for group in GROUPS],
            table={role: TABLE[shown, role] for role in ROLES},
            drafted=DRAFTED,
        )

    return router


def group_of(action: str) -> str:
    """The part of the table that an action stands in."""
    if action in COMMANDS:
        return "command"
    if action in PARTNER_EVENTS:
        return "event"
    first = action.partition(".")[0]
    return first if first in GROUPS else "other"
