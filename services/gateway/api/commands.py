"""One HTTP operation a command of the contract: checked as JSON here, decided by the service that owns it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from services.gateway.api.problems import Problem, ProblemBody, malformed_body, malformed_field
from services.gateway.api.requests import JSON, business_moment, idempotency_key, is_plain_json, read_body
from services.gateway.api.responses import BODY_PROBLEMS
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import needs
from services.gateway.business_days import announce_through
from shared.clock import business_date
from shared.contracts.base import Command
from shared.contracts.registry import COMMANDS
from shared.messaging.bus import AnswerTimeout, CommandAnswer, ServiceUnavailable
from shared.messaging.service import Service
from shared.scheme.loader import Scheme

Endpoint = Callable[..., Awaitable[JSONResponse]]
KeyHeader = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Same key and same body: the first answer again. Made up when absent."),
]
TimeHeader = Annotated[
    str | None,
    Header(alias="Riskpool-Time", description="Business time; only where `RISKPOOL_CLOCK` is `message`, else refused."),
]
REFUSALS: dict[int | str, dict[str, Any]] = {
    **BODY_PROBLEMS,
    409: {"model": ProblemBody, "description": "Refused by a rule of the scheme"},
    504: {"model": ProblemBody, "description": "No answer in time: ask again with the same key"},
}


class RecordedEvent(BaseModel):
    """An event that followed."""

    id: str
    type: str


class AcceptedBody(BaseModel):
    """An accepted command, the events that followed and what it says besides."""

    accepted: bool
    events: list[RecordedEvent]
    result: dict[str, Any]


def command_routes(service: Service) -> APIRouter:
    """``POST /commands/{Name}`` for every command of the contract."""
    router = APIRouter(prefix="/v1/schemes/{scheme}/commands", tags=["commands"])
    for name, model in sorted(COMMANDS.items()):
        router.add_api_route(
            f"/{name}",
            _endpoint(service, name, model),
            methods=["POST"],
            operation_id=name,
            summary=_summary(model),
            description=_description(model),
            response_model=AcceptedBody,
            responses=REFUSALS,
            openapi_extra=request_body(name),
        )
    router.add_api_route("/{name}", _unknown(service), methods=["POST"], include_in_schema=False)
    return router


def request_body(*names: str) -> dict[str, Any]:
    """The OpenAPI request body of messages of the contract, whose schemas openapi.py adds."""
    schemas = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _summary(model: type[Command]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]


def _description(model: type[Command]) -> str:
    return f"By: {', '.join(model.by)}. Answered by the {model.service} service."


def _endpoint(service: Service, name: str, model: type[Command]) -> Endpoint:
    caller_of = Depends(caller_dependency(service))

    async def endpoint(
        request: Request, caller: Caller = caller_of, key: KeyHeader = None, time: TimeHeader = None
    ) -> JSONResponse:
        body = await read_body(request, JSON)
        return await carry_out(service, caller, request, name, model, body)

    return endpoint


async def carry_out(
    service: Service, caller: Caller, request: Request, name: str, model: type[Command], body: bytes
) -> JSONResponse:
    """A command as it came over HTTP: its answer as JSON, its refusal as a problem."""
    key = idempotency_key(request)
    answer = await decide(service, caller, request, name, model, body, key)
    return JSONResponse(answer.body, headers={"Idempotency-Key": key})


async def decide(
    service: Service, caller: Caller, request: Request, name: str, model: type[Command], body: bytes, key: str
) -> CommandAnswer:
    """Ask the owning service, after every business day that lies before the command; its refusal becomes a problem."""
    scheme = caller.scheme
    if caller.kind in model.by:
        needs(caller, name)
    try:
        command = model.model_validate_json(body)
    except ValidationError as error:
        raise malformed_body(error, scheme) from None
    if not is_plain_json(body):
        raise malformed_field("body", "holds a number or a depth that no field needs", scheme)
    moment = await business_moment(service, scheme, request)
    await announce_through(service, scheme.id, business_date(moment))
    answer = await _ask(service, scheme, command.destination, name, body, key, caller, moment)
    if answer.status != 200:
        raise refusal(answer, scheme, key)
    return answer


async def _ask(
    service: Service, scheme: Scheme, destination: str, name: str, body: bytes, key: str, caller: Caller, moment: Any
) -> CommandAnswer:
    again = {"Idempotency-Key": key, "Retry-After": "1"}
    if not hasattr(service, "bus"):
        raise Problem(503, "unavailable", scheme=scheme, headers=again)
    try:
        return await service.bus.command(
            scheme.id,
            destination,
            name,
            key=key,
            body=body,
            organisation=caller.organisation,
            kind=caller.kind,
            time=moment,
        )
    except ServiceUnavailable:
        raise Problem(503, "unavailable", scheme=scheme, headers=again) from None
    except AnswerTimeout:
        raise Problem(504, "no_answer", scheme=scheme, headers=again) from None


def refusal(answer: CommandAnswer, scheme: Scheme, key: str) -> Problem:
    """A service's refusal as a problem, with its clause, findings and the version of the rules it was decided by."""
    body = answer.body
    members = {name: body[name] for name in ("findings", "clause", "scheme_version") if body.get(name)}
    figures = {name: str(value) for name, value in (body.get("figures") or {}).items()}
    return Problem(
        answer.status,
        body["rule"],
        body.get("reason") or "",
        figures,
        scheme=scheme,
        headers={"Idempotency-Key": key},
        **members,
    )


def _unknown(service: Service) -> Endpoint:
    caller_of = Depends(caller_dependency(service))

    async def endpoint(request: Request, name: str, caller: Caller = caller_of) -> JSONResponse:
        raise Problem(404, "unknown", "command", {"name": name[:64]}, scheme=caller.scheme)

    return endpoint
