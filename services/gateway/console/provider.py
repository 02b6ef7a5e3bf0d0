"""To the identity provider and back: the two steps of signing in without a password of ours."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api.problems import Problem
from services.gateway.auth import oidc, sessions
from services.gateway.auth.settings import Provider, SignInSettings
from services.gateway.auth.signin import SignIn
from services.gateway.console.shell import Shell
from services.gateway.console.signing_in import Next, Show, agent_of, enter, own_path

RETURN = "/sign-in/return"
ATTEMPT_SECONDS = 600


def routes(shell: Shell, settings: SignInSettings, door: SignIn, provider: Provider, show: Show) -> APIRouter:
    """``/sign-in/provider`` and the address that the provider sends people back to."""
    router = APIRouter(include_in_schema=False)

    async def refused(request: Request, error: Exception) -> Response:
        problem = error if isinstance(error, Problem) else Problem(401, "signin", "provider", {"problem": str(error)})
        answer = await show(request, problem.status, problem=problem)
        answer.delete_cookie(_cookie_name(request, settings), **_cookie(request, settings))
        return answer

    @router.get("/sign-in/provider")
    async def go(request: Request, next: Next = "/") -> Response:
        attempt = oidc.Attempt.begin(own_path(next))
        try:
            address = await oidc.address_of(provider, attempt, _return_address(request, settings))
        except oidc.ProviderError as error:
            return await refused(request, error)
        answer = RedirectResponse(address, 303)
        name = _cookie_name(request, settings)
        answer.set_cookie(name, attempt.cookie(), max_age=ATTEMPT_SECONDS, **_cookie(request, settings))
        return answer

    @router.get(RETURN)
    async def come_back(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
        attempt = oidc.Attempt.read(request.cookies.get(_cookie_name(request, settings), ""))
        try:
            if attempt is None or not state or state != attempt.state:
                raise oidc.ProviderError("this attempt has ended or began in another browser")
            if error or not code:
                raise oidc.ProviderError(error[:64] or "it sent no code")
            back, now = _return_address(request, settings), shell.service.clock.now()
            login = await oidc.login_of(provider, attempt, code, back, now)
            found = await door.with_identity(login, agent_of(request))
        except (oidc.ProviderError, Problem) as problem:
            return await refused(request, problem)
        answer = enter(request, settings, found, attempt.next)
        answer.delete_cookie(_cookie_name(request, settings), **_cookie(request, settings))
        return answer

    return router


def _cookie(request: Request, settings: SignInSettings) -> dict[str, Any]:
    secure = sessions.is_secure(request, settings)
    return {"path": "/", "secure": secure, "httponly": True, "samesite": "lax"}


def _cookie_name(request: Request, settings: SignInSettings) -> str:
    return "__Host-riskpool-attempt" if sessions.is_secure(request, settings) else "riskpool-attempt"


def _return_address(request: Request, settings: SignInSettings) -> str:
    own = settings.public_url or str(request.base_url).rstrip("/")
    return own + RETURN
