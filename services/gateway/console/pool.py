"""The pool: its state in one sentence, its curves against their lines, what waits to be paid, the custodian's desk."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console import ledger
from services.gateway.console.charts import Band, Mark, Series, against_line, over_time
from services.gateway.console.shell import Shell, page_language, today_of
from services.gateway.console.words import say
from services.gateway.queries import fund_history, pool
from services.gateway.queries.enterprises import names_of
from services.gateway.queries.fund_history import Point
from services.gateway.views import PoolView
from shared.money import parse_yuan
from shared.scheme.refusals import Language

BALANCE, COUNTER = "#1d4e89", "#a14a17"


def routes(shell: Shell) -> APIRouter:
    """``/pool``, and the ledger beside it."""
    router = APIRouter(include_in_schema=False)

    @router.get("/pool")
    async def fund(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.pool")
        caller.needs_agency_or_custodian()
        today, language = today_of(request), page_language(request)

        async def read(connection: AsyncConnection) -> dict[str, Any]:
            found = await _read(connection, caller, today)
            return found | _drawn(found["points"], found["pool"], today, language)

        found = await shell.kept(request, ("pool", caller.scheme.id, today, language), read)
        return await shell.page(
            request,
            caller,
            "pool/pool.html",
            difference=lambda one, other: parse_yuan(one) - parse_yuan(other),
            **found,
        )

    router.include_router(ledger.routes(shell))
    return router


async def _read(connection: AsyncConnection, caller: Caller, today: date) -> dict[str, Any]:
    scheme = caller.scheme.id
    view = await pool.pool(connection, scheme)
    transfers = await fund_history.to_confirm(connection, scheme)
    subsidies = await fund_history.subsidies(connection, scheme)
    points = await fund_history.curve(connection, scheme)
    codes = [*(one.uscc for one in view.held), *(one.uscc for one in transfers.items), *(one.uscc for one in subsidies)]
    years = await fund_history.fee_years(connection, scheme)
    return {
        "pool": view,
        "points": points,
        "months": fund_history.month_ends(points),
        "restart": await fund_history.restart(connection, caller.scheme),
        "pause": await fund_history.last_pause(connection, scheme) if view.state == "paused" else None,
        "transfers": transfers,
        "unreleased": await fund_history.unreleased(connection, scheme),
        "notices": await fund_history.notices(connection, scheme, today.year),
        "statements": await fund_history.statements(connection, scheme),
        "subsidies": subsidies,
        "fees": [one for one in years if not one.released],
        "fee_rate": await fund_history.fee_rate(connection, scheme),
        "names_by_code": await names_of(connection, scheme, codes),
    }


def _drawn(points: Sequence[Point], view: PoolView, today: date, language: Language) -> dict[str, Any]:
    balance_name, counter_name = say(language, "可用余额"), say(language, "代偿计数")
    pause_name, resume_name = say(language, "暂停线"), say(language, "重启线")
    series = (
        Series(
            balance_name, BALANCE, tuple((one.on, one.balance_fen) for one in points), resume_name, view.resume_line
        ),
        Series(counter_name, COUNTER, tuple((one.on, one.counter_fen) for one in points), pause_name, view.pause_line),
    )
    word = say(language, "暂停中")
    charts = [
        over_time(series, today, language, marks=_marks(points, language), bands=_pauses(points, word), wide=wide)
        for wide in (True, False)
    ]
    return {
        "chart": Markup("").join(charts),
        "counter_meter": against_line(view.counter, view.pause_line, view.capital, COUNTER, counter_name),
        "balance_meter": against_line(view.balance, view.resume_line, view.capital, BALANCE, balance_name),
    }


def _marks(points: Sequence[Point], language: Language) -> list[Mark]:
    found = []
    for one in points:
        if one.event == "PoolPaused":
            found.append(Mark(one.on, one.counter_fen, COUNTER, f"{one.on} {say(language, '暂停代偿')}"))
        elif one.event == "PoolResumed":
            found.append(Mark(one.on, one.balance_fen, BALANCE, f"{one.on} {say(language, '重启代偿')}"))
    return found


def _pauses(points: Sequence[Point], text: str) -> list[Band]:
    bands: list[Band] = []
    since = None
    for one in points:
        if one.paused and since is None:
            since = one.on
        elif not one.paused and since is not None:
            bands.append(Band(since, one.on, text))
            since = None
    return [*bands, Band(since, None, text)] if since else bands
