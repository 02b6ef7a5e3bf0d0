"""What every page shares: templates in two languages, who is signed in, names, counts and the headers of safety."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Hashable, Mapping
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import URL

from services.gateway.api.events import Feed
from services.gateway.api.parked import count_parked
from services.gateway.api.problems import Problem, language_of
from services.gateway.api.resources import reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may
from services.gateway.auth.sessions import signed_in
from services.gateway.console import forms, pieces
from services.gateway.console.kept import Kept
from services.gateway.console.pieces import yuan
from services.gateway.console.words import say, sentence, word
from services.gateway.queries.organisations import names_signed
from services.gateway.queries.worklist import by_area, counts_by_kind
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS
from shared.messaging.service import Service
from shared.scheme.refusals import Language, explain

T = TypeVar("T")
ROOM = Path(__file__).parent
NAVIGATION = (
    ("worklist", "/"),
    ("cases", "/cases"),
    ("review", "/review"),
    ("financing", "/financing"),
    ("claims", "/claims"),
    ("loans", "/loans"),
    ("pool", "/pool"),
    ("ledger", "/ledger"),
    ("recoveries", "/recoveries"),
    ("obligations", "/obligations"),
    ("departments", "/departments"),
    ("institutions", "/institutions"),
    ("reports", "/reports"),
    ("receipts", "/receipts"),
    ("uploads", "/uploads"),
    ("ops", "/ops"),
    ("parked", "/parked"),
    ("scheme", "/scheme"),
    ("audit", "/audit"),
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page_language(request: Request) -> Language:
    """What the person chose on the page, else what the browser prefers; Chinese first."""
    chosen = request.cookies.get("language")
    return "en" if chosen == "en" else "zh" if chosen == "zh" else language_of(request)


def today_of(request: Request) -> date:
    """The scheme's business day when a person's request came, else the calendar's."""
    today: date = request.state.session.today
    return today


class Shell:
    """The console's frame; area modules add routes to it and render pages with it."""

    def __init__(self, service: Service, feed: Feed) -> None:
        self.service, self.feed = service, feed
        self.signed_in: Any = Depends(signed_in(service))
        self._kept = Kept()
        self._environments: dict[Language, Environment] = {"zh": _environment("zh"), "en": _environment("en")}

    async def kept(self, request: Request, key: Hashable, read: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What only an event or another key changes: read once, then kept until the next event."""

        async def found() -> T:
            async with reading(self.service) as connection:
                return await read(connection)

        return await self._kept.of(request.state.session.position, key, found)

    async def waiting(self, request: Request, caller: Caller) -> dict[str, int]:
        """How much of each kind of work waits for this person's organisation."""
        today = today_of(request)
        key = ("waiting", caller.scheme.id, caller.organisation, caller.roles, today)
        return await self.kept(request, key, lambda connection: counts_by_kind(connection, caller, today))

    async def page(
        self, request: Request, caller: Caller | None, template: str, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """A template as a page for this person; ``caller`` is None before signing in."""
        language = page_language(request)
        frame: dict[str, Any] = {
            "request": request,
            "path": request.url.path,
            "here": _path_of(request.url) if request.method == "GET" else "/",
            "lang": language,
            "caller": caller,
            "notice": _notice(request),
            "names": {},
            "navigation": (),
            "counts": {},
        }
        if caller is not None:
            frame |= await self._frame_of(request, caller, language)
        made = self._environments[language].get_template(template)
        return HTMLResponse(made.render({**frame, **context}), status, {"Content-Language": language, **HEADERS})

    async def _frame_of(self, request: Request, caller: Caller, language: Language) -> dict[str, Any]:
        """What stands around every page of a signed-in person."""
        scheme = caller.scheme
        parked = {"parked": await count_parked(self.service)} if may(caller, "page.parked") else {}
        signed = await self.kept(request, ("signed", scheme.id), partial(names_signed, scheme=scheme.id))
        agencies = {one.id: one.en if language == "en" else one.name for one in scheme.organisations.values()}
        return {
            "scheme": scheme,
            "names": signed | agencies,
            "navigation": [(key, href) for key, href in NAVIGATION if may(caller, f"page.{key}")],
            "may": partial(may, caller),
            "standard": _standard_options(caller, language),
            "today": today_of(request),
            "counts": by_area(await self.waiting(request, caller)) | parked,
        }

    async def refused(self, request: Request, caller: Caller | None, problem: Problem, **context: Any) -> HTMLResponse:
        """A refusal as a page: the rule, its clause, what to do; with the form again when it came from one."""
        language, scheme = page_language(request), problem.scheme or (caller.scheme if caller else None)
        detail = problem.detail or explain(problem.rule, problem.reason, problem.figures, language, scheme)
        clause = problem.members.get("clause") or (scheme.clause(problem.rule) if scheme else "")
        return await self.page(
            request,
            caller,
            "refused.html",
            status=problem.status,
            problem=problem,
            detail=detail,
            clause=clause,
            **context,
        )


def _standard_options(caller: Caller, language: Language) -> dict[str, list[tuple[str, str]]]:
    """What free fields of the contract may hold under this scheme, ready to choose from."""
    keys = {
        "classified": "claim.classes",
        "ground": "writeoff.grounds",
        "sector": "priority.sectors",
        "source": "capital.sources",
    }
    listed = {field: caller.scheme.value(key) for field, key in keys.items() if key in caller.scheme.settings}
    return {
        field: [(str(code), word(language, "value", code)) for code in codes]
        for field, codes in listed.items()
        if isinstance(codes, list | tuple | dict)
    }


def _notice(request: Request) -> tuple[str, str] | None:
    """What the form before this page did: (``done`` or ``pending``, the command's name)."""
    for kind in ("pending", "done"):
        name = request.query_params.get(kind, "")
        if name in COMMANDS or name in PARTNER_EVENTS:
            return kind, name
    return None


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ROOM / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.globals |= {
        "_": partial(sentence, language),
        "word": partial(word, language),
        "organisation": pieces.organisation,
        "static": static,
        "form_of": forms.form_of,
        "new_key": forms.new_key,
        "given": forms.given,
        "row_count": forms.row_count,
        "row_values": forms.row_values,
        "fixed_of": forms.fixed_of,
        "pairs": lambda context, codes: [(code, word(language, context, code)) for code in codes],
        "errors_of": partial(_errors, language),
        "figures_of": partial(_figures, language),
    }
    environment.filters |= {**pieces.filters(language), "path_of": _path_of}
    return environment


_WRONG = {
    "money": "请填写金额，单位元，如 1000000.00",
    "rate": "请填写比例，如 0.05 或 5%",
    "day": "请填写日期，如 2026-03-02",
    "number": "请填写整数",
    "choice": "请从所列选项中选择",
    "choices": "请从所列选项中选择",
}


def _errors(language: Language, problem: Problem, name: str) -> dict[str, str]:
    """What is wrong with each field of a refused form."""
    found = {}
    for error in problem.members.get("errors", ()):
        path, message = error["field"], error["message"]
        kind = forms.kind_of(forms.form_of(name), path)
        known = "此项必填" if message == "Field required" else _WRONG.get(kind or "", "")
        found[path] = say(language, known) if known else message
    return found


def _figures(language: Language, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An event's fields or a decision's figures with their names, lists and groups as short text."""

    def shown(value: Any) -> str:
        if isinstance(value, Mapping):
            return "；".join(f"{word(language, 'field', key)} {shown(part)}" for key, part in value.items())
        if isinstance(value, list):
            return "、".join(map(shown, value))
        if isinstance(value, bool):
            return say(language, "是" if value else "否")
        text = "—" if value is None else str(value)
        return yuan(text) if _AMOUNT.fullmatch(text) else word(language, "value", text)

    return [(word(language, "field", key), shown(value)) for key, value in data.items()]


_AMOUNT = re.compile(r"-?\d{1,13}\.\d{2}")


def static(name: str) -> str:
    """The address of a static file; it changes with the file's content."""
    return f"/static/console/{name}?{_digest(name)}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((ROOM / "static" / name).read_bytes()).hexdigest()[:12]


def _path_of(url: URL) -> str:
    return f"{url.path}?{url.query}" if url.query else url.path
