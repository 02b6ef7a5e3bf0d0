"""Recovery: cases with their shares, what is overdue, and write-offs with both approvals."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.resources import Cursor, Filter
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.shell import Shell
from services.gateway.queries import loans
from services.gateway.queries.enterprises import names_of
from services.gateway.queries.write_offs import overdue, write_offs
from services.gateway.views import RecoveryView

STATUSES = ("open", "write_off_requested", "written_off", "clawback", "closed")


def routes(shell: Shell) -> APIRouter:
    """``/recoveries``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/recoveries")
    async def recovery_list(
        request: Request, caller: Caller = shell.signed_in, status: Filter = None, cursor: Cursor = None
    ) -> Response:
        needs(caller, "page.recoveries")
        scheme, party = caller.scheme.id, caller.party

        async def read(connection: AsyncConnection) -> dict[str, Any]:
            return await _listed(connection, scheme, party, status or None, cursor or None)

        listed = await shell.kept(request, ("recoveries", scheme, party, status, cursor), read)
        return await shell.page(
            request,
            caller,
            "recoveries/list.html",
            **listed,
            statuses=STATUSES,
            collectable=[one for one in listed["found"].items if _may_collect(one, caller)],
        )

    return router


async def _listed(
    connection: AsyncConnection, scheme: str, party: str | None, status: str | None, cursor: str | None
) -> dict[str, Any]:
    found = await loans.recovery_list(connection, scheme, status=status, party=party, limit=50, cursor=cursor)
    late = await overdue(connection, scheme, party)
    proposed = await write_offs(connection, scheme, party=party)
    codes = [one.uscc for listed in (found.items, late, proposed) for one in listed]
    return {
        "found": found,
        "late": late,
        "pending": [one for one in proposed if one.state == "open"],
        "decided": [one for one in proposed if one.state != "open"][:20],
        "sums": await loans.recovery_totals(connection, scheme, party),
        "names_by_code": await names_of(connection, scheme, codes),
    }


def _may_collect(one: RecoveryView, caller: Caller) -> bool:
    return one.status != "closed" and caller.organisation in (one.payee, one.lender)
