"""In and out: the page with a name and a password, and the way out."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api.problems import Problem
from services.gateway.auth import sessions
from services.gateway.auth.settings import SignInSettings
from services.gateway.auth.signin import SignedIn, SignIn
from services.gateway.console.doing import back_of, posted_fields
from services.gateway.console.shell import Shell
from shared.scheme.refusals import Language, explain

Next = Annotated[str, Query(max_length=2000)]
Show = Callable[..., Awaitable[Response]]


def page(shell: Shell, settings: SignInSettings) -> Show:
    """The page with the form, for whoever has something to say on it."""

    async def show(request: Request, status: int = 200, **context: Any) -> Response:
        shown = {"next": "/", "login": "", "problem": None, "said": "", "explained": explained} | context
        return await shell.page(
            request, None, "account/sign_in.html", status=status, provider=settings.provider, **shown
        )

    return show


def routes(shell: Shell, settings: SignInSettings, door: SignIn, show: Show) -> APIRouter:
    """``/sign-in`` and ``/sign-out``."""
    router = APIRouter(include_in_schema=False)
    service = shell.service

    @router.get("/sign-in")
    async def ask(request: Request, next: Next = "/") -> Response:
        if await sessions.person_of(service, request, settings) is not None:
            return RedirectResponse("/", 303)
        return await show(request, next=own_path(next))

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        posted = await posted_fields(request)
        login, password, back = (posted.get(name, [""])[0] for name in ("login", "password", "next"))
        try:
            found = await door.with_password(login, password, address_of(request), agent_of(request))
        except Problem as problem:
            return await show(request, problem.status, problem=problem, login=login[:100], next=own_path(back))
        return enter(request, settings, found, back)

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        token = sessions.cookie_of(request, settings)
        if token:
            async with service.engine.begin() as connection:
                await sessions.end_cookie(connection, token, service.clock.now())
        answer = RedirectResponse(sessions.SIGN_IN, 303)
        sessions.drop_cookie(answer, request, settings)
        return answer

    return router


def enter(request: Request, settings: SignInSettings, found: SignedIn, back: str) -> Response:
    """To the page that was asked for, with the new session; first to the password that must be changed."""
    answer = RedirectResponse(sessions.CHANGE_PASSWORD if found.must_change else own_path(back), 303)
    sessions.set_cookie(answer, request, settings, found.cookie)
    return answer


def explained(problem: Problem, language: Language) -> str:
    """What was refused and what to do, as a sentence."""
    return explain(problem.rule, problem.reason, problem.figures, language)


def own_path(path: str) -> str:
    """A path of ours to go on to, never another site's."""
    return back_of({"_back": [path]})


def address_of(request: Request) -> str:
    """Where a request comes from, for counting failures."""
    return request.client.host if request.client else ""


def agent_of(request: Request) -> str:
    """What the browser calls itself, for the list of sessions."""
    return request.headers.get("user-agent", "")
