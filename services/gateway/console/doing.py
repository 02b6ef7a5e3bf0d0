"""Every write of the console: one form posted, decided as over the API, shown when the projections hold its effect."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import func, select

from services.gateway.api.commands import decide
from services.gateway.api.partner_intake import enveloped, needs_institution, submit
from services.gateway.api.problems import Problem
from services.gateway.api.requests import LARGEST_BODY_BYTES, business_moment
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.auth.record import keep
from services.gateway.auth.separation import needs_another_person
from services.gateway.console import forms
from services.gateway.console.shell import Shell
from services.gateway.tables import events
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS
from shared.messaging.service import Service

EFFECT_SECONDS = 2.0
_LOOK_SECONDS = 0.02
Posted = Mapping[str, Sequence[str]]


def routes(shell: Shell) -> APIRouter:
    """``POST /do/{name}``: a command or partner event from its form."""
    router = APIRouter(include_in_schema=False)

    @router.post("/do/{name}")
    async def do(request: Request, name: str, caller: Caller = shell.signed_in) -> Response:
        if name not in COMMANDS and name not in PARTNER_EVENTS:
            raise Problem(404, "unknown", "command", {"name": name[:64]}, scheme=caller.scheme)
        posted = await posted_fields(request)
        return await carry_out(shell, request, caller, name, posted)

    return router


async def posted_fields(request: Request) -> dict[str, list[str]]:
    """The fields of a posted form by name, within the API's limit of a body; files are passed over."""
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal() or int(announced[:12]) > LARGEST_BODY_BYTES:
        raise Problem(413, "too_large", figures={"limit": "1 MB"})
    form = await request.form(max_fields=5000)
    posted: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            posted.setdefault(name, []).append(value.replace("\r\n", "\n").replace("\0", ""))
    return posted


async def carry_out(shell: Shell, request: Request, caller: Caller, name: str, posted: Posted) -> Response:
    """Decide what a form asks for; back to its page with the effect, or the form again with the rule that refused."""
    data = forms.read(forms.form_of(name).fields, posted)
    try:
        shown = await perform(shell, request, caller, name, data, key_of(posted))
    except Problem as problem:
        return await shell.refused(request, caller, problem, form=name, posted=posted, back=back_of(posted))
    return sent_back(back_of(posted), name, shown)


async def perform(
    shell: Shell, request: Request, caller: Caller, name: str, data: dict[str, Any], key: str
) -> bool:
    """Decide and keep who did it; whether pages show the effect already. Problem when it is refused."""
    try:
        needs(caller, name)
        await needs_another_person(shell.service, caller, name, data)
        caused = await _send(shell.service, caller, request, name, data, key)
    except Problem as problem:
        await note(shell.service, caller, name, data, "refused", rule=problem.rule)
        raise
    await note(shell.service, caller, name, data, "accepted", caused=caused)
    return await effect_is_shown(shell.service, key, caused)


def key_of(posted: Posted) -> str:
    """The key that the form came with, else a new one."""
    return "".join(posted.get("_key", ())) or forms.new_key()


def sent_back(back: str, name: str, shown: bool) -> RedirectResponse:
    """To the page the form stood on, which says that it is done or still being processed."""
    return RedirectResponse(_with(back, "done" if shown else "pending", name), 303)


async def _send(
    service: Service, caller: Caller, request: Request, name: str, data: dict[str, Any], key: str
) -> list[str]:
    """The ids of the events that followed, as far as the answer names them."""
    body = json.dumps(data, ensure_ascii=False).encode()
    if name in COMMANDS:
        answer = await decide(service, caller, request, name, COMMANDS[name], body, key)
        return [event["id"] for event in answer.body.get("events", ())]
    needs_institution(caller)
    moment = await business_moment(service, caller.scheme, request)
    receipt = await submit(service, caller, name, enveloped(caller, name, key, moment, body))
    if receipt is not None and receipt.outcome != "accepted":
        raise Problem(409, receipt.rule or "malformed", scheme=caller.scheme, detail=receipt.detail)
    return []


async def effect_is_shown(service: Service, key: str, ids: Sequence[str]) -> bool:
    """Wait until the gateway's projections hold the events that followed, at most two seconds."""
    by_id = select(func.count()).select_from(events).where(events.c.id.in_(ids))
    by_cause = select(func.count()).select_from(events).where(events.c.causation_id == key)
    deadline = asyncio.get_running_loop().time() + EFFECT_SECONDS
    while True:
        async with service.engine.connect() as connection:
            found = (await connection.execute(by_id if ids else by_cause)).scalar_one()
        if found >= max(len(ids), 1):
            return True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)


async def note(
    service: Service,
    caller: Caller,
    action: str,
    data: Mapping[str, Any],
    outcome: str,
    *,
    rule: str | None = None,
    caused: Sequence[str] = (),
) -> None:
    """Keep who did what when, under the business id that it is about."""
    names = ("uscc", "loan_no", "policy_no", "half", "institution", "notice_no", "disbursement_id", "year")
    about = next((str(data[name]) for name in names if data.get(name)), "")
    async with service.engine.begin() as connection:
        await keep(connection, caller, service.clock.now(), action, about, outcome, rule=rule, caused=caused)


def back_of(posted: Posted) -> str:
    """The page that the form stood on: a path of ours, never another site's."""
    back = "".join(posted.get("_back", ())) or "/"
    parts = urlsplit(back)
    own = back.startswith("/") and not back.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return back if own and not any(ch < " " for ch in back) else "/"


def _with(back: str, kind: str, name: str) -> str:
    path, hash_, fragment = back.partition("#")
    kept = "&".join(p for p in urlsplit(path).query.split("&") if p and p.partition("=")[0] not in ("done", "pending"))
    query = f"{kept}&{kind}={name}" if kept else f"{kind}={name}"
    return f"{path.partition('?')[0]}?{query}{hash_}{fragment}"
