"""The calendar of duties: what is due when and by whom, done, due or overdue, under which rule."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby

from fastapi import APIRouter, Request, Response

from services.gateway.api.resources import Filter, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may, needs
from services.gateway.console.shell import Shell, today_of
from services.gateway.queries.obligations import obligation_list
from services.gateway.views import ObligationView
from shared.calendar import half_end

REPORTS = {
    "custodian": ("custodian_half_year", "custodian_annual"),
    "drc": ("recovery_half_year",),
}
STATES = ("overdue", "due", "done")


def routes(shell: Shell) -> APIRouter:
    """``/obligations``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/obligations")
    async def calendar(
        request: Request,
        caller: Caller = shell.signed_in,
        state: Filter = None,
        kind: Filter = None,
        organisation: Filter = None,
    ) -> Response:
        needs(caller, "page.obligations")
        today = today_of(request)
        async with reading(shell.service) as connection:
            found = await obligation_list(connection, caller.scheme, today)
        if caller.party is not None:
            found = [one for one in found if one.organisation == caller.party]
        wanted = {"state": state, "kind": kind, "organisation": organisation}
        asked = {name: value for name, value in wanted.items() if value}
        shown = [one for one in found if all(getattr(one, name) == value for name, value in asked.items())]
        return await shell.page(
            request,
            caller,
            "obligations/calendar.html",
            months=_by_month(shown),
            counts_by_state={each: sum(one.state == each for one in found) for each in STATES},
            states=STATES,
            kinds=sorted({one.kind for one in found}),
            organisations=sorted({one.organisation for one in found}),
            wanted=wanted,
            fileable=[one for one in found if _may_file(one, caller, today)],
        )

    return router


def _by_month(found: Sequence[ObligationView]) -> list[tuple[str, list[ObligationView]]]:
    """Months with something overdue first, then what comes, then what is all done; so too within a month."""
    dated = sorted(found, key=lambda one: (one.due_on, one.kind, one.organisation))
    months = [(month, list(part)) for month, part in groupby(dated, key=lambda one: f"{one.due_on:%Y-%m}")]
    whole = [(month, sorted(part, key=lambda one: STATES.index(one.state))) for month, part in months]
    return sorted(whole, key=lambda month: STATES.index(month[1][0].state))


def _may_file(one: ObligationView, caller: Caller, today: date) -> bool:
    """Reports of the caller's own that are not filed, of periods that are over."""
    own = one.organisation == caller.organisation and one.kind in REPORTS.get(caller.kind, ())
    ends = half_end(one.period) if "H" in one.period else date(int(one.period[:4]), 12, 31)
    return own and ends < today and one.state != "done" and may(caller, "FileReport")
