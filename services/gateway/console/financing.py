"""Financing: what is pushed to whom until when, the answers, and the forms of both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.resources import Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.cases import case_of
from services.gateway.console.shell import Shell, today_of
from services.gateway.policy import GatewayPolicy
from services.gateway.projections.tables import cases as table
from services.gateway.queries import cases, panel
from services.gateway.views import CaseDetailView, TimelineView
from shared.calendar import is_working_day

PAGE = 50
_DAY = timedelta(days=1)
Happened = Row[Any] | TimelineView


@dataclass(frozen=True)
class Answer:
    """What a recipient of the newest push has answered: ``waiting``, ``declined`` or ``lent``."""

    institution: str
    kind: str
    reason: str | None = None
    event_id: str | None = None


def routes(shell: Shell) -> APIRouter:
    """``/financing`` and ``/financing/{uscc}``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/financing")
    async def pushed(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.financing")
        policy, scheme = caller.scheme.policy(GatewayPolicy), caller.scheme.id
        own = table.c.pushed_to.contains([caller.party]) if caller.party else None
        async with reading(shell.service) as connection:
            found = await cases.case_list(
                connection, scheme, policy, status="pushed", recommender=None, party=caller.party, limit=PAGE,
                cursor=cursor, sort="date", among=own,
            )  # fmt: skip
            rated = None
            if caller.is_agency:
                rated = await cases.case_list(
                    connection, scheme, policy, status="rated", recommender=None, party=None, limit=PAGE, cursor=None
                )
            happened = await panel.answered(connection, scheme, [case.uscc for case in found.items])
        answers = {case.uscc: answers_of(happened.get(case.uscc, []), caller) for case in found.items}
        today = today_of(request)
        left = {case.uscc: working_days_left(today, case.deadline_on) for case in found.items}
        return await shell.page(
            request, caller, "financing/list.html", found=found, rated=rated, answers=answers, left=left
        )

    @router.get("/financing/{uscc}")
    async def one(request: Request, uscc: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.financing")
        async with reading(shell.service) as connection:
            case = await case_of(connection, caller, uscc)
            found = await _seen(request, connection, caller, case)
        return await shell.page(request, caller, "financing/case.html", case=case, **found)

    return router


def working_days_left(today: date, deadline: date | None) -> int | None:
    """Working days after today up to the deadline; below zero none, and None without a deadline."""
    if deadline is None:
        return None
    days = (today + _DAY * n for n in range(1, (deadline - today).days + 1))
    return sum(is_working_day(day) for day in days)


def answers_of(timeline: Sequence[Happened], caller: Caller) -> list[Answer]:
    """Each recipient of the newest push, as it was pushed; an institution sees its own answer only."""
    newest = _newest_push(timeline)
    if newest is None:
        return []
    after = timeline[timeline.index(newest) + 1 :]
    declined = {one.data["institution"]: one for one in after if one.type == "FinancingRefused"}
    lent = {one.data["lender"]: one for one in after if one.type == "LoanCovered"}
    found = []
    for institution in newest.data["institutions"]:
        if caller.party in (None, institution):
            event = lent.get(institution) or declined.get(institution)
            kind = "lent" if institution in lent else "declined" if event else "waiting"
            reason = event.data.get("reason") if event else None
            found.append(Answer(institution, kind, reason, event.id if event else None))
    return found


def _newest_push(timeline: Sequence[Happened]) -> Happened | None:
    return next((one for one in reversed(timeline) if one.type == "FinancingPushed"), None)


async def _seen(
    request: Request, connection: AsyncConnection, caller: Caller, case: CaseDetailView
) -> dict[str, Any]:
    today = today_of(request)
    signed = await panel.signed_on(connection, caller.scheme.id, today)
    partners = [one for one in signed if one.institution in case.pushed_to]
    mine = case.status == "pushed" and caller.organisation in case.pushed_to
    answers = answers_of(case.timeline, caller)
    answered = any(one.institution == caller.organisation and one.kind != "waiting" for one in answers)
    return {
        "answers": answers,
        "push": _newest_push(case.timeline),
        "left": working_days_left(today, case.deadline_on),
        "preference": _preference(case),
        "offered": [one.institution for one in signed if one.kind != "custodian"],
        "products": caller.scheme.value("products"),
        "guarantors": [one.institution for one in partners if one.kind == "guarantor"],
        "insurers": [one.institution for one in partners if one.kind == "insurer"],
        "lends": mine and caller.kind in ("bank", "lender"),
        "declines": mine and not answered,
        "failures": [one for one in case.timeline if one.type in ("FinancingFailed", "FinancingExhausted")],
        "can_push": case.status == "rated",
    }


def _preference(case: CaseDetailView) -> dict[str, list[dict[str, Any]]]:
    """The push lists by product, the preferred first, each with its reasons as (what, value)."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in case.preference:
        reasons = [tuple(reason.split(":", 1)) for reason in one["reasons"]]
        found.setdefault(one["product"], []).append({**one, "reasons": reasons})
    return {product: sorted(places, key=lambda one: int(one["place"])) for product, places in found.items()}
