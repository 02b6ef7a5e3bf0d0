"""Persons in the console: the door, one's own account, an organisation's users and tokens, and who may do what."""

from fastapi import APIRouter

from services.gateway.auth.settings import SignInSettings
from services.gateway.auth.signin import SignIn
from services.gateway.console import own_account, permitted, provider, signing_in, tokens, users
from services.gateway.console.shell import Shell


def routes(shell: Shell) -> APIRouter:
    """Every page about persons."""
    settings = SignInSettings.from_environment()
    door = SignIn(shell.service)
    router = APIRouter(include_in_schema=False)
    show = signing_in.page(shell, settings)
    router.include_router(signing_in.routes(shell, settings, door, show))
    if settings.provider is not None:
        router.include_router(provider.routes(shell, settings, door, settings.provider, show))
    router.include_router(own_account.routes(shell, settings, door))
    for room in (users, tokens, permitted):
        router.include_router(room.routes(shell))
    return router
