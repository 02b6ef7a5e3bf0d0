"""The review room: seats, votes that stay secret until all have voted, ties, the veto, and the government's consent."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.resources import Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.cases import VETOABLE, case_of
from services.gateway.console.shell import Shell, today_of
from services.gateway.policy import GatewayPolicy
from services.gateway.queries import cases, panel
from services.gateway.queries.enterprises import names_of
from services.gateway.queries.panel import Round, rounds_of
from services.gateway.views import CaseDetailView

PAGE = 50
SEATS = ("bank", "lender", "guarantor")
NOT_YET = ("referred", "returned", "admitted")


def routes(shell: Shell) -> APIRouter:
    """``/review`` and ``/review/{uscc}``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/review")
    async def before(
        request: Request,
        caller: Caller = shell.signed_in,
        stage: Annotated[str, Query(max_length=40)] = "",
        cursor: Cursor = None,
    ) -> Response:
        needs(caller, "page.review")
        policy = caller.scheme.policy(GatewayPolicy)
        year = today_of(request).year
        async with reading(shell.service) as connection:
            found = await panel.before_panel(
                connection, caller.scheme.id, policy, stage=stage, party=caller.party, limit=PAGE, cursor=cursor
            )
            quota = await cases.high_quota(connection, caller.scheme.id, policy, year)
        return await shell.page(
            request, caller, "review/list.html", found=found, stage=stage, stages=panel.STAGES, quota=quota
        )

    @router.get("/review/{uscc}")
    async def room(request: Request, uscc: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.review")
        async with reading(shell.service) as connection:
            case = await case_of(connection, caller, uscc)
            found = await _seen(request, connection, caller, case)
        return await shell.page(request, caller, "review/room.html", case=case, **found)

    return router


async def _seen(
    request: Request, connection: AsyncConnection, caller: Caller, case: CaseDetailView
) -> dict[str, Any]:
    """The rounds, and what this caller can do in the newest."""
    scheme, today = caller.scheme, today_of(request)
    rounds = rounds_of(case.timeline)
    now = rounds[-1] if rounds and case.status not in NOT_YET else None
    quota = await cases.high_quota(connection, scheme.id, scheme.policy(GatewayPolicy), today.year)
    seats = now.seats if now else ()
    return {
        "now": now,
        "earlier": [one for one in reversed(rounds) if one is not now],
        "conflicts": await panel.conflicts(connection, scheme.id, case.uscc, seats, case.pushed_to, today),
        "quota": quota,
        "quota_names": await names_of(connection, scheme.id, quota.enterprises) if caller.is_agency else {},
        "offered": await _offered(connection, caller, case, today) if case.status == "admitted" else [],
        "required": _required(caller, case),
        "can_vote": _can_vote(now, caller),
        "can_decide": now is not None and bool(now.options),
        "can_consent": case.status == "awaiting_consent",
        "can_veto": case.status in VETOABLE,
        "can_open": case.status == "admitted",
    }


def _can_vote(now: Round | None, caller: Caller) -> bool:
    return now is not None and now.is_open and caller.organisation in now.missing()


def _required(caller: Caller, case: CaseDetailView) -> list[str]:
    """The seats that the scheme asks for, as far as they are organisations (panel.seats)."""
    asked = caller.scheme.value("panel.required")
    named = [str(one) for one in asked if one not in SEATS] if isinstance(asked, list | tuple) else []
    return list(dict.fromkeys(case.recommender if one == "recommender" else one for one in named))


async def _offered(connection: AsyncConnection, caller: Caller, case: CaseDetailView, today: Any) -> list[str]:
    """Who can be seated: the required agencies, then institutions with an agreement that counts today."""
    signed = await panel.signed_on(connection, caller.scheme.id, today, SEATS)
    return [*_required(caller, case), *(one.institution for one in signed)]
