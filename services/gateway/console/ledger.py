"""The ledger: entries under filters with totals carried over pages, accounts with balances, and both as files."""

import asyncio
from datetime import date
from decimal import Decimal
from functools import partial

from fastapi import APIRouter, Request, Response

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.api.resources import Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.sheets import Cell, as_csv, as_xlsx, download
from services.gateway.console.shell import Shell, page_language
from services.gateway.console.words import word
from services.gateway.queries import ledger
from services.gateway.views import EntryView
from shared.money import format_yuan
from shared.scheme.refusals import Language

PAGE, ALL = 100, 100_000


def routes(shell: Shell) -> APIRouter:
    """``/ledger`` and its files."""
    router = APIRouter(include_in_schema=False)

    @router.get("/ledger")
    async def entries(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.ledger")
        caller.needs_agency_or_custodian()
        wanted = _filter(request)
        async with reading(shell.service) as connection:
            found = await ledger.entry_list(connection, caller.scheme.id, wanted, limit=PAGE, cursor=cursor or None)
            first = (found.items[0].position, found.items[0].line) if found.items else (0, 0)
            before = await ledger.totals(connection, caller.scheme.id, wanted, first)
            whole = await ledger.totals(connection, caller.scheme.id, wanted)
            accounts = await ledger.account_list(connection, caller.scheme.id)
        return await shell.page(
            request,
            caller,
            "pool/ledger.html",
            found=found,
            lines=_running(found.items, before.balance_fen),
            before=before,
            whole=whole,
            accounts=accounts.items,
            wanted=wanted,
        )

    @router.get("/ledger.{kind}")
    async def file(request: Request, kind: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.ledger")
        caller.needs_agency_or_custodian()
        if kind not in ("csv", "xlsx"):
            raise Problem(404, "unknown", "page", {"name": kind[:16]}, scheme=caller.scheme)
        language = page_language(request)
        async with reading(shell.service) as connection:
            found = await ledger.entry_list(connection, caller.scheme.id, _filter(request), limit=ALL, cursor=None)
        heads, rows = _heads(language), [_row(one, language) for one in found.items]
        title = word(language, "page", "ledger")
        make = partial(as_csv, heads, rows) if kind == "csv" else partial(as_xlsx, title, heads, rows)
        return download(await asyncio.to_thread(make), f"ledger-{caller.scheme.id}.{kind}")

    return router


def _filter(request: Request) -> ledger.Filter:
    asked = {name: request.query_params.get(name, "").strip()[:200] for name in ("account", "about", "since", "until")}
    since, until = day_of("since", asked["since"]), day_of("until", asked["until"])
    return ledger.Filter(asked["account"] or None, asked["about"] or None, since, until)


def day_of(name: str, text: str) -> date | None:
    """A date of a filter; Problem 422 when it is none."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise malformed_field(name, "must be a date, such as 2026-03-02") from None


def _running(entries: list[EntryView], balance_fen: int) -> list[tuple[EntryView, int]]:
    """Each entry with the balance after it."""
    lines = []
    for entry in entries:
        balance_fen += entry.amount
        lines.append((entry, balance_fen))
    return lines


def _heads(language: Language) -> list[str]:
    fields = ("on", "cause", "about", "account", "debit", "credit", "event_id")
    return [word(language, "field", name) for name in fields]


def _row(entry: EntryView, language: Language) -> list[Cell]:
    account, _, detail = entry.account.partition(":")
    named = word(language, "account", account) + (f" {word(language, 'value', detail)}" if detail else "")
    yuan = Decimal(format_yuan(abs(entry.amount)))
    debit, credit = (yuan, None) if entry.amount > 0 else (None, yuan)
    return [entry.on, word(language, "event", entry.cause), entry.about, named, debit, credit, entry.event_id]
