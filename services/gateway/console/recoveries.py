"""Recovery: cases with their shares, what is overdue, and write-offs with both approvals."""

from fastapi import APIRouter, Request, Response

from services.gateway.api.resources import Cursor, Filter, reading
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
        async with reading(shell.service) as connection:
            found = await loans.recovery_list(
                connection, scheme, status=status or None, party=party, limit=50, cursor=cursor or None
            )
            late = await overdue(connection, scheme, party)
            proposed = await write_offs(connection, scheme, party=party)
            sums = await loans.recovery_totals(connection, scheme, party)
            codes = [one.uscc for listed in (found.items, late, proposed) for one in listed]
            names = await names_of(connection, scheme, codes)
        return await shell.page(
            request,
            caller,
            "recoveries/list.html",
            found=found,
            late=late,
            pending=[one for one in proposed if one.state == "open"],
            decided=[one for one in proposed if one.state != "open"][:20],
            sums=sums,
            names_by_code=names,
            statuses=STATUSES,
            collectable=[one for one in found.items if _may_collect(one, caller)],
        )

    return router


def _may_collect(one: RecoveryView, caller: Caller) -> bool:
    return one.status != "closed" and caller.organisation in (one.payee, one.lender)
