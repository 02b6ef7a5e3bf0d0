"""Departments with their indicators, and institutions with their agreements, loans and sanctions."""

from datetime import date
from decimal import Decimal

from fastapi import APIRouter, Request, Response

from services.gateway.api.problems import Problem
from services.gateway.api.resources import RECOMMENDERS, Cursor, Filter, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.bars import bar_chart
from services.gateway.console.shell import Shell, page_language, today_of
from services.gateway.console.words import say
from services.gateway.policy import GatewayPolicy
from services.gateway.queries import organisations
from services.gateway.queries.enterprises import names_of
from services.gateway.queries.obligations import periods
from services.gateway.views import DepartmentView
from shared.calendar import add_months, quarter_of

MOST_QUARTERS = 8
KINDS = ("bank", "lender", "guarantor", "insurer", "custodian")


def routes(shell: Shell) -> APIRouter:
    """``/departments`` and ``/institutions``."""
    router = APIRouter(include_in_schema=False)
    _departments(router, shell)
    _institutions(router, shell)
    return router


def _departments(router: APIRouter, shell: Shell) -> None:
    @router.get("/departments")
    async def department_list(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.departments")
        known = [one for one in caller.scheme.organisations.values() if one.kind in RECOMMENDERS]
        today = today_of(request)
        async with reading(shell.service) as connection:
            views = await organisations.departments(connection, caller.scheme.id, known)
        return await shell.page(
            request, caller, "organisations/departments.html", views=views, quarter=quarter_of(today),
            expected=caller.scheme.policy(GatewayPolicy).referrals_per_quarter,
        )  # fmt: skip

    @router.get("/departments/{department}")
    async def one_department(request: Request, department: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.departments")
        known = caller.scheme.organisations.get(department)
        if known is None or known.kind not in RECOMMENDERS:
            raise Problem(404, "unknown", "department", {"department": department[:64]}, scheme=caller.scheme)
        policy, today, language = caller.scheme.policy(GatewayPolicy), today_of(request), page_language(request)
        async with reading(shell.service) as connection:
            view = await organisations.department(connection, caller.scheme.id, known)
            flagged = [code for flag in view.flags for code in flag.enterprises]
            names = await names_of(connection, caller.scheme.id, flagged)
        counts = _by_quarter(view, policy, today)
        counted = known.kind == "department"
        chart = bar_chart(
            say(language, "各季度推荐家数"),
            counts,
            policy.referrals_per_quarter if counted else None,
            say(language, "应推荐"),
        )
        return await shell.page(
            request, caller, "organisations/department.html", view=view, chart=chart, by_quarter=counts,
            counted=counted, expected=policy.referrals_per_quarter, quarter=quarter_of(today), names_by_code=names,
        )  # fmt: skip


def _by_quarter(view: DepartmentView, policy: GatewayPolicy, today: date) -> list[tuple[str, int]]:
    """Every quarter of the scheme so far, also those without a referral; at most two years."""
    last = min(today, add_months(policy.effective_from, 12 * policy.years))
    names = [one.name for one in periods("quarter", policy.effective_from, max(last, policy.effective_from))]
    return [(name, view.referrals.get(name, 0)) for name in names][-MOST_QUARTERS:]


def _institutions(router: APIRouter, shell: Shell) -> None:
    @router.get("/institutions")
    async def institution_list(
        request: Request, caller: Caller = shell.signed_in, kind: Filter = None, cursor: Cursor = None
    ) -> Response:
        needs(caller, "page.institutions")
        async with reading(shell.service) as connection:
            found = await organisations.institution_list(
                connection, caller.scheme.id, kind=kind or None, institution=None, limit=50, cursor=cursor
            )
        return await shell.page(
            request, caller, "organisations/institutions.html", found=found, kind=kind or "", kinds=KINDS
        )

    @router.get("/institutions/{institution}")
    async def one_institution(request: Request, institution: str, caller: Caller = shell.signed_in) -> Response:
        own = caller.is_institution and institution == caller.organisation
        if not own:
            needs(caller, "page.institutions")
        async with reading(shell.service) as connection:
            view = await organisations.one_institution(connection, caller.scheme.id, institution)
            if view is None:
                raise Problem(404, "unknown", "institution", {"institution": institution[:64]}, scheme=caller.scheme)
            names = await names_of(connection, caller.scheme.id, (one.uscc for one in view.queue))
        reductions = [one.reduction for one in view.sanctions if one.measure == "reduce"]
        return await shell.page(
            request, caller, "organisations/institution.html", view=view, names_by_code=names, own=own,
            reduction=reductions[-1] if reductions else Decimal(0),
        )  # fmt: skip
