"""One's own account: the password, the sessions that are open, and the organisation one works for."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api.problems import Problem
from services.gateway.auth import passwords, people, sessions
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import ROLES
from services.gateway.auth.record import keep
from services.gateway.auth.settings import SignInSettings
from services.gateway.auth.signin import SignIn, memberships_of
from services.gateway.auth.tokens import sha256_of
from services.gateway.console.doing import posted_fields
from services.gateway.console.shell import Shell
from services.gateway.console.signing_in import agent_of, explained

SAVED = ("password", "session", "sessions")
_BROWSER = re.compile(r"(Edg|OPR|Firefox|Chrome|Version)/(\d+)")
_SYSTEM = re.compile(r"Windows|Android|iPhone|iPad|Mac OS X|Linux")
_NAMES = {"Edg": "Edge", "OPR": "Opera", "Version": "Safari"}


def routes(shell: Shell, settings: SignInSettings, door: SignIn) -> APIRouter:
    """``/account`` and what belongs to it."""
    router = APIRouter(include_in_schema=False)
    _look(router, shell, settings)
    _password(router, shell, settings, door)
    _sessions(router, shell, settings)
    _membership(router, shell, settings)
    return router


def _look(router: APIRouter, shell: Shell, settings: SignInSettings) -> None:
    @router.get("/account")
    async def own_account(request: Request, caller: Caller = shell.signed_in) -> Response:
        now, account = shell.service.clock.now(), str(caller.account)
        async with shell.service.engine.connect() as connection:
            held = await memberships_of(connection, account)
            opened = await sessions.own_sessions(connection, account, now, settings)
        saved = request.query_params.get("saved", "")
        return await shell.page(
            request,
            caller,
            "account/account.html",
            session=request.state.session,
            own_roles=[role for role in ROLES if role in caller.roles],
            browser_of=browser_of,
            held=[one for one in held if one.scheme in shell.service.schemes],
            schemes=shell.service.schemes,
            opened=opened,
            this=sha256_of(sessions.cookie_of(request, settings)),
            saved=saved if saved in SAVED else "",
        )


def _password(router: APIRouter, shell: Shell, settings: SignInSettings, door: SignIn) -> None:
    async def show(request: Request, caller: Caller, status: int = 200, **problem: Any) -> Response:
        shown = {"problem": None, "fault": None, "explained": explained, "shortest": passwords.SHORTEST} | problem
        session = request.state.session
        # Who must first choose a password has no use for the navigation yet.
        seen = None if session.must_change else caller
        return await shell.page(request, seen, "account/password.html", status=status, session=session, **shown)

    @router.get(sessions.CHANGE_PASSWORD)
    async def ask_password(request: Request, caller: Caller = shell.signed_in) -> Response:
        if not request.state.session.has_password:
            return RedirectResponse("/account", 303)
        return await show(request, caller)

    @router.post(sessions.CHANGE_PASSWORD)
    async def change_password(request: Request, caller: Caller = shell.signed_in) -> Response:
        posted = await posted_fields(request)
        current, chosen, repeated = (posted.get(name, [""])[0] for name in ("old", "new", "again"))
        session, now = request.state.session, shell.service.clock.now()
        if not session.has_password:
            return RedirectResponse("/account", 303)
        fault = passwords.fault_of(chosen, session.login)
        fault = fault or ("same" if chosen == current else "repeat" if chosen != repeated else None)
        if fault:
            return await show(request, caller, 422, fault=fault)
        try:
            await door.confirm(session.login, current)
        except Problem as problem:
            return await show(request, caller, problem.status, problem=problem)
        async with shell.service.engine.begin() as connection:
            await people.set_password(connection, session.account, chosen, now)
            place = (session.account, session.scheme, session.organisation)
            cookie = await sessions.begin(connection, *place, agent_of(request), now)
            await keep(connection, caller, now, "password", session.login)
        answer = RedirectResponse("/" if session.must_change else "/account?saved=password", 303)
        sessions.set_cookie(answer, request, settings, cookie)
        return answer


def _sessions(router: APIRouter, shell: Shell, settings: SignInSettings) -> None:
    @router.post("/account/sessions")
    async def end_sessions(request: Request, caller: Caller = shell.signed_in) -> Response:
        posted = await posted_fields(request)
        chosen = posted.get("session", [""])[0]
        now, account = shell.service.clock.now(), str(caller.account)
        async with shell.service.engine.begin() as connection:
            if chosen == "others":
                await sessions.end_others(connection, account, sessions.cookie_of(request, settings), now)
            elif len(chosen) == 64 and set(chosen) <= set("0123456789abcdef"):
                await sessions.end(connection, account, now, digest=bytes.fromhex(chosen))
        return RedirectResponse(f"/account?saved={'sessions' if chosen == 'others' else 'session'}", 303)


def _membership(router: APIRouter, shell: Shell, settings: SignInSettings) -> None:
    @router.post("/account/membership")
    async def work_for(request: Request, caller: Caller = shell.signed_in) -> Response:
        scheme, _, organisation = "".join((await posted_fields(request)).get("membership", ())).partition("/")
        now, account = shell.service.clock.now(), str(caller.account)
        async with shell.service.engine.begin() as connection:
            held = await memberships_of(connection, account)
            known = [one for one in held if one.scheme in shell.service.schemes]
            if (scheme, organisation) not in [(one.scheme, one.organisation) for one in known]:
                raise Problem(403, "signin", "no_membership", scheme=caller.scheme)
            await sessions.end_cookie(connection, sessions.cookie_of(request, settings), now)
            cookie = await sessions.begin(connection, account, scheme, organisation, agent_of(request), now)
        answer = RedirectResponse("/", 303)
        sessions.set_cookie(answer, request, settings, cookie)
        return answer


def browser_of(agent: str) -> str:
    """A browser's name, version and system as a person knows them, else what it calls itself."""
    named = {name: version for name, version in _BROWSER.findall(agent)}
    first = next((name for name in ("Edg", "OPR", "Firefox", "Chrome", "Version") if name in named), None)
    if first is None:
        return agent or "—"
    system = _SYSTEM.search(agent)
    return " · ".join(filter(None, (f"{_NAMES.get(first, first)} {named[first]}", system and system[0])))
