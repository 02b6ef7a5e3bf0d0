"""Partners' credentials for the bus over the API: the commission issues, exchanges and ends them."""

from datetime import datetime, timedelta
from typing import Any

import nats.errors
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway.api.problems import Problem, ProblemBody, malformed_body
from services.gateway.api.requests import JSON, read_body
from services.gateway.api.resources import reading
from services.gateway.api.responses import BODY_PROBLEMS, PROBLEMS, answer
from services.gateway.auth import bus_access
from services.gateway.auth.bus_access import AccountsOff, BusAccess, TooMany
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import BUS, needs
from services.gateway.auth.record import keep
from services.gateway.views import Page
from shared.messaging.backlog import Backlog, backlog_of
from shared.messaging.bus import ServiceUnavailable
from shared.messaging.service import Service


class CredentialsWish(BaseModel):
    """What the credentials are for; ``days`` until they end, ``rotate`` ends all that the institution had before."""

    model_config = ConfigDict(extra="forbid", title="CredentialsWish", strict=True)

    note: str = Field("", max_length=200, examples=["core banking"])
    days: int | None = Field(None, ge=1, le=3650)
    rotate: bool = False


class CredentialsView(BaseModel):
    """Credentials that were issued; the secret is not kept."""

    id: str
    institution: str
    account: str
    note: str
    issued_at: datetime
    issued_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class IssuedCredentials(BaseModel):
    """New credentials: ``credentials`` is the text of a ``.creds`` file and is not shown again."""

    id: str
    institution: str
    credentials: str
    ended: list[str]


class BacklogView(BaseModel):
    """What an institution sent over the bus and is not taken yet: how many events, since when; bytes of the limit."""

    waiting: int
    since: datetime | None
    bytes: int
    limit: int


class EndedCredentials(BaseModel):
    """The ids of the credentials that were ended."""

    ended: list[str]


_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": CredentialsWish.model_json_schema()}}}
}
_REFUSED: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemBody, "description": "No agreement, too many, or a bus without accounts (rule `bus`)"}
}
_PATH = "/institutions/{institution}/bus-credentials"


def bus_access_routes(service: Service) -> APIRouter:
    """``/institutions/{institution}/bus-credentials``."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["partner events"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))

    @router.get(_PATH, response_model=Page[CredentialsView], summary="An institution's credentials for the bus.")
    async def list_credentials(request: Request, institution: str, caller: Caller = caller_of) -> Response:
        if caller.party != institution:
            caller.needs_agency()
        async with reading(service) as connection:
            rows = await bus_access.credentials_of(connection, caller.scheme.id, institution)
        views = [CredentialsView.model_validate(dict(row._mapping)) for row in rows]
        return answer(request, Page[CredentialsView](items=views))

    @router.get(
        "/institutions/{institution}/backlog",
        response_model=BacklogView,
        summary="What an institution sent over the bus that waits to be decided.",
    )
    async def show_backlog(request: Request, institution: str, caller: Caller = caller_of) -> Response:
        if caller.party != institution:
            caller.needs_agency()
        try:
            return answer(request, BacklogView(**vars(await waiting_of(service, institution))))
        except ServiceUnavailable:
            raise Problem(503, "unavailable", scheme=caller.scheme, headers={"Retry-After": "1"}) from None

    @router.post(
        _PATH,
        status_code=201,
        response_model=IssuedCredentials,
        summary="Let an institution in: new credentials, shown once.",
        responses={**BODY_PROBLEMS, **_REFUSED},
        openapi_extra=_BODY,
    )
    async def issue(request: Request, institution: str, caller: Caller = caller_of) -> Response:
        needs(caller, BUS)
        try:
            wish = CredentialsWish.model_validate_json(await read_body(request, JSON))
        except ValidationError as error:
            raise malformed_body(error, caller.scheme) from None
        issued = await let_in(service, caller, institution, wish)
        return JSONResponse(issued.model_dump(), 201, headers={"Cache-Control": "no-store"})

    @router.delete(
        _PATH, response_model=EndedCredentials, responses=_REFUSED, summary="Shut an institution out: all of them end."
    )
    async def end_all(institution: str, caller: Caller = caller_of) -> Response:
        needs(caller, BUS)
        return JSONResponse({"ended": await shut_out(service, caller, institution)})

    @router.delete(
        _PATH + "/{id}", response_model=EndedCredentials, responses=_REFUSED, summary="End one of its credentials."
    )
    async def end_one(institution: str, id: str, caller: Caller = caller_of) -> Response:
        needs(caller, BUS)
        return JSONResponse({"ended": await shut_out(service, caller, institution, id)})

    return router


async def waiting_of(service: Service, institution: str) -> Backlog:
    """What waits of an institution's events; ServiceUnavailable when the bus is away."""
    try:
        return await backlog_of(service.bus.js, institution)
    except (nats.errors.Error, TimeoutError, AttributeError) as error:  # also before it was ever reached
        raise ServiceUnavailable("the bus") from error


async def let_in(service: Service, caller: Caller, institution: str, wish: CredentialsWish) -> IssuedCredentials:
    """New credentials, recorded and known to the bus."""
    access = _access(caller)
    now, scheme = service.clock.now(), caller.scheme.id
    async with service.engine.begin() as connection:
        if not await bus_access.has_agreement(connection, scheme, institution):
            raise Problem(409, "bus", "agreement", {"institution": institution[:64]}, scheme=caller.scheme)
        expires_at = now + timedelta(days=wish.days) if wish.days else None
        by = caller.account or caller.organisation
        ended = await bus_access.revoke(connection, scheme, institution, by) if wish.rotate else []
        try:
            identifier, told = await bus_access.issue(connection, scheme, institution, by, wish.note, expires_at)
        except TooMany:
            figures = {"institution": institution, "most": str(bus_access.MOST)}
            raise Problem(409, "bus", "credentials", figures, scheme=caller.scheme) from None
        await keep(connection, caller, now, "bus.issue", f"{institution} {identifier}")
    await _tell(service, access, institution)
    return IssuedCredentials(id=identifier, institution=institution, credentials=told, ended=ended)


async def shut_out(service: Service, caller: Caller, institution: str, only: str = "") -> list[str]:
    """End credentials, recorded and known to the bus; Problem 404 when there are none."""
    access, by = _access(caller), caller.account or caller.organisation
    async with service.engine.begin() as connection:
        ended = await bus_access.revoke(connection, caller.scheme.id, institution, by, only=only)
        if not ended:
            raise Problem(404, "unknown", "bus_credentials", {"institution": institution[:64]}, scheme=caller.scheme)
        await keep(connection, caller, service.clock.now(), "bus.end", f"{institution} {' '.join(ended)}")
    await _tell(service, access, institution)
    return ended


def _access(caller: Caller) -> BusAccess:
    try:
        return BusAccess.from_environment()
    except AccountsOff:
        raise Problem(409, "bus", "accounts_off", scheme=caller.scheme) from None


async def _tell(service: Service, access: BusAccess, institution: str) -> None:
    """At once where the bus is there; otherwise when it comes back (bus_access.keep_telling)."""
    try:
        async with service.engine.begin() as connection:
            await access.tell(connection, service.bus, institution)
    except (ServiceUnavailable, AttributeError):
        pass
    finally:
        await access.close()
