"""Reports: each kind with what it asks for, those that were made, and one on its way."""

from datetime import date

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.api.reports import content_of
from services.gateway.api.resources import Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may, needs
from services.gateway.console.doing import posted_fields
from services.gateway.console.shell import Shell, page_language
from services.gateway.documents.files import Files
from services.gateway.projections.tables import agreements
from services.gateway.reports.jobs import Wish, ask, one_report, report_list
from services.gateway.reports.kinds import KINDS, Kind, own
from services.gateway.reports.making import LANGUAGES, MEDIA_TYPES
from services.gateway.reports.period import Period, parse_period
from services.gateway.tables import events
from shared.clock import business_date

PAGE = 50
_ENDINGS = {"quarter": ("Q1", "Q2", "Q3", "Q4"), "half": ("H1", "H2"), "year": ("",)}


def routes(shell: Shell) -> APIRouter:
    """``/reports`` and what is under it."""
    router = APIRouter(include_in_schema=False)
    files = Files.from_environment()

    @router.get("/reports")
    async def reports(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.reports")
        return await _page(shell, request, caller, cursor=cursor)

    @router.post("/reports")
    async def make(request: Request, caller: Caller = shell.signed_in) -> Response:
        posted = await posted_fields(request)
        names = ("kind", "period", "organisation", "language", "format")
        wish = Wish(**{name: "".join(posted.get(name, ())) for name in names})
        try:
            found = await ask(shell.service, caller, wish)
        except Problem as problem:
            if problem.status != 422:
                raise
            return await _page(shell, request, caller, wish=wish, wrong=problem)
        return RedirectResponse(f"/reports/{found.id}", 303)

    @router.get("/reports/{id}")
    async def report(request: Request, id: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.reports")
        async with reading(shell.service) as connection:
            found = await one_report(connection, caller, id)
        answer = await shell.page(request, caller, "reports/report.html", report=found)
        if found.state in ("queued", "running"):
            answer.headers["Refresh"] = "1"
        return answer

    @router.get("/reports/{id}/file")
    async def file(id: str, caller: Caller = shell.signed_in) -> Response:
        return await content_of(shell.service, files, caller, id)

    return router


async def _page(
    shell: Shell,
    request: Request,
    caller: Caller,
    *,
    cursor: str | None = None,
    wish: Wish | None = None,
    wrong: Problem | None = None,
) -> Response:
    async with reading(shell.service) as connection:
        first, last = await _span(connection, caller)
        offers = [
            (kind, _periods(kind, first, last), await _organisations(connection, caller, kind))
            for kind in KINDS.values()
            if may(caller, f"reports.{kind.id}") and last is not None
        ]
        found = await report_list(connection, caller, PAGE, cursor)
    return await shell.page(
        request,
        caller,
        "reports/reports.html",
        status=wrong.status if wrong else 200,
        offers=offers,
        ended={kind.id: _ended(periods, last) for kind, periods, _ in offers},
        found=found,
        languages=LANGUAGES,
        formats=tuple(MEDIA_TYPES),
        own=own,
        wish=wish or Wish("", "", language=page_language(request)),
        errors={one["field"]: one["message"] for one in wrong.members.get("errors", ())} if wrong else {},
    )


async def _span(connection: AsyncConnection, caller: Caller) -> tuple[date | None, date | None]:
    """The business dates of the first and the newest event."""
    query = select(func.min(events.c.at), func.max(events.c.at)).where(events.c.scheme == caller.scheme.id)
    first, last = (await connection.execute(query)).one()
    return (business_date(first), business_date(last)) if last else (None, None)


def _periods(kind: Kind, first: date | None, last: date | None) -> list[Period]:
    """Every period of the kind between two days, newest first."""
    if first is None or last is None:
        return []
    texts = [
        f"{year}{ending}"
        for year in range(last.year, first.year - 1, -1)
        for each in kind.periods
        for ending in reversed(_ENDINGS[each])
    ]
    return [period for period in map(parse_period, texts) if period.begin <= last and period.end >= first]


def _ended(periods: list[Period], last: date | None) -> str:
    """The newest period that is over: the one that is usually wanted."""
    return next((period.text for period in periods if last and period.end <= last), "")


async def _organisations(connection: AsyncConnection, caller: Caller, kind: Kind) -> list[str]:
    """Whom a report of this kind may be about, for those who choose."""
    if not kind.about or own(caller, kind):
        return []
    listed = [one.id for one in caller.scheme.organisations.values() if one.kind in kind.about]
    query = select(agreements.c.institution).where(
        agreements.c.scheme == caller.scheme.id, agreements.c.kind.in_(kind.about)
    )
    return listed + sorted((await connection.execute(query)).scalars())
