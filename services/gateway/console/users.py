"""An organisation's users, kept by its own administrators: added, given roles, disabled, given a new password."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.auth import passwords, people, sessions
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import ROLES, needs
from services.gateway.auth.record import keep
from services.gateway.auth.signin import normal
from services.gateway.console.doing import posted_fields
from services.gateway.console.shell import Shell

Posted = Mapping[str, Sequence[str]]
SAVED = ("roles", "disabled", "enabled")


def routes(shell: Shell) -> APIRouter:
    """``/users``: the list, and each change as a form of its own."""
    router = APIRouter(include_in_schema=False)
    _look(router, shell)
    _add(router, shell)
    _change(router, shell)
    return router


async def _page(shell: Shell, request: Request, caller: Caller, status: int = 200, **context: Any) -> Response:
    async with shell.service.engine.connect() as connection:
        found = await people.people_of(connection, caller.scheme.id, caller.organisation)
    shown = {"fault": "", "posted": {}, "made": None, "saved": "", "now": shell.service.clock.now()} | context
    return await shell.page(request, caller, "account/users.html", status=status, people=found, roles=ROLES, **shown)


def _look(router: APIRouter, shell: Shell) -> None:
    @router.get("/users")
    async def users(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "users.manage")
        saved = request.query_params.get("saved", "")
        return await _page(shell, request, caller, saved=saved if saved in SAVED else "")


def _add(router: APIRouter, shell: Shell) -> None:
    @router.post("/users")
    async def add_user(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "users.manage")
        posted = await posted_fields(request)
        login, name = normal(_one(posted, "login")), _one(posted, "name").strip()[:100]
        roles = _roles(posted)
        fault = "login" if not people.LOGIN.fullmatch(login) else "name" if not name else "" if roles else "roles"
        if fault:
            return await _page(shell, request, caller, 422, fault=fault, posted=posted)
        password = passwords.made()
        async with shell.service.engine.begin() as connection:
            account = await people.add(connection, login, name, password)
            if account is not None:
                await people.set_roles(connection, account, caller.scheme.id, caller.organisation, roles)
                await keep(connection, caller, shell.service.clock.now(), "users.add", login)
        if account is None:
            return await _page(shell, request, caller, 409, fault="taken", posted=posted)
        return await _page(shell, request, caller, made=(login, password))


def _change(router: APIRouter, shell: Shell) -> None:
    @router.post("/users/{login}/roles")
    async def change_roles(request: Request, login: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "users.manage")
        roles = _roles(await posted_fields(request))
        async with shell.service.engine.begin() as connection:
            user = await _own(connection, caller, login)
            if not roles or user.id == caller.account:
                return await _page(shell, request, caller, 422, fault="self" if roles else "roles")
            await people.set_roles(connection, user.id, caller.scheme.id, caller.organisation, roles)
            await keep(connection, caller, shell.service.clock.now(), "users.roles", login)
        return RedirectResponse("/users?saved=roles", 303)

    @router.post("/users/{login}/password")
    async def reset_password(request: Request, login: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "users.manage")
        async with shell.service.engine.begin() as connection:
            user = await _own(connection, caller, login)
            _only_here(caller, user)
            if user.id == caller.account:
                return RedirectResponse(sessions.CHANGE_PASSWORD, 303)
            password = await people.reset_password(connection, user.id, shell.service.clock.now())
            await keep(connection, caller, shell.service.clock.now(), "users.password", login)
        return await _page(shell, request, caller, made=(login, password))

    @router.post("/users/{login}/disabled")
    async def disable(request: Request, login: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "users.manage")
        disabled = _one(await posted_fields(request), "disabled") == "true"
        async with shell.service.engine.begin() as connection:
            user = await _own(connection, caller, login)
            if user.id == caller.account:
                return await _page(shell, request, caller, 422, fault="self")
            await _disable(connection, shell, caller, user, disabled)
            action = "users.disable" if disabled else "users.enable"
            await keep(connection, caller, shell.service.clock.now(), action, login)
        return RedirectResponse(f"/users?saved={'disabled' if disabled else 'enabled'}", 303)


async def _disable(connection: AsyncConnection, shell: Shell, caller: Caller, user: Row[Any], disabled: bool) -> None:
    """Who works for others too loses only the roles here: the account itself is theirs as well."""
    if not user.only_here:
        roles = () if disabled else user.roles
        await people.set_roles(connection, user.id, caller.scheme.id, caller.organisation, roles)
    elif disabled:
        await people.disable(connection, user.id, shell.service.clock.now())
    else:
        await people.enable(connection, user.id)


async def _own(connection: AsyncConnection, caller: Caller, login: str) -> Row[Any]:
    """A user of the caller's own organisation; Problem 404 for anybody else's, as if there were none."""
    for user in await people.people_of(connection, caller.scheme.id, caller.organisation):
        if user.login == login:
            return user
    raise Problem(404, "unknown", "user", {"login": login[:64]}, scheme=caller.scheme)


def _only_here(caller: Caller, user: Row[Any]) -> None:
    if not user.only_here:
        raise Problem(403, "permission", "works_elsewhere", {"login": user.login}, scheme=caller.scheme)


def _one(posted: Posted, name: str) -> str:
    return "".join(posted.get(name, ())[:1])


def _roles(posted: Posted) -> list[str]:
    return [role for role in ROLES if role in posted.get("roles", ())]
