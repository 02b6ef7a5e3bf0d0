"""What whoever runs the machines wants to see: replicas, streams, what waits, backups, audits, and what is wrong."""

from datetime import datetime
from typing import Any

import nats.errors
from fastapi import APIRouter, Depends, Request, Response
from nats.js.api import StreamInfo

from services.gateway.api.parked import ALL_SERVICES
from services.gateway.api.resources import reading
from services.gateway.api.responses import PROBLEMS, answer
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.auth.permissions import needs
from services.gateway.queries.upkeep import OLDEST, UpkeepView, last_of_each
from services.gateway.views import View
from shared.messaging.bus import ServiceUnavailable
from shared.messaging.instances import Instance, instances, own_name, version
from shared.messaging.progress import progress
from shared.messaging.service import Service

MOST_WAITING = 1000


class StreamView(View):
    """A stream of the bus: messages, bytes of the limit (null without one), replicas, what waits for each consumer."""

    name: str
    messages: int
    bytes: int
    limit: int | None
    replicas: int
    waiting: dict[str, int]


class FaultView(View):
    """Something that is not as it should be: its kind, what it is about, and how much."""

    kind: str
    about: str
    figure: str = ""


class OperationView(View):
    """The whole platform at one moment; ``faults`` is empty when all is well."""

    faults: list[FaultView]
    instances: list[Instance]
    unpublished: dict[str, int | None]
    parked: dict[str, int | None]
    streams: list[StreamView]
    upkeep: list[UpkeepView]


def ops_routes(service: Service) -> APIRouter:
    """``/ops``."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["operation"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))

    @router.get("/ops", response_model=OperationView, summary="Whether everything runs, and what waits.")
    async def show_operation(request: Request, caller: Caller = caller_of) -> Response:
        needs(caller, "page.ops")
        return answer(request, await operation(service))

    return router


async def operation(service: Service) -> OperationView:
    """The platform now; where the bus is away, a fault says so, and what the gateway itself knows is shown."""
    try:
        if not service.bus.client.is_connected:
            raise ServiceUnavailable("the bus")
        running, known = await instances(service.bus), await progress(service)
        streams = await service.bus.js.streams_info()
        wrong = _of_instances(running)
    except (ServiceUnavailable, nats.errors.Error, TimeoutError, AttributeError):  # also before it was ever reached
        running, known, streams = [_itself(service)], await _of_the_gateway(service), []
        wrong = [FaultView(kind="bus", about="")]
    shown = [_stream(info, known["consumers"]) for info in sorted(streams, key=lambda info: info.config.name or "")]
    async with reading(service) as connection:
        kept = await last_of_each(connection)
    now = service.clock.now()
    return OperationView(
        faults=[*wrong, *_of_queues(known, shown), *(fault for one in kept for fault in _of_upkeep(one, now))],
        instances=running,
        unpublished=known["outbox"],
        parked=known["parked"],
        streams=shown,
        upkeep=kept,
    )


def _itself(service: Service) -> Instance:
    return Instance(service.name, own_name(), version(), service.started, False, False, 0, service.lost)


async def _of_the_gateway(service: Service) -> dict[str, Any]:
    """What ``progress`` says, as far as the gateway's own database knows it."""
    own, nobody = await service.health.backlog(), dict.fromkeys(ALL_SERVICES)
    return {
        "outbox": {**nobody, "gateway": own["unpublished"]},
        "parked": {**nobody, "gateway": own["parked"]},
        "consumers": {},
    }


def _stream(info: StreamInfo, consumers: dict[str, int]) -> StreamView:
    name, most = info.config.name or "", info.config.max_bytes or -1
    return StreamView(
        name=name,
        messages=info.state.messages,
        bytes=info.state.bytes,
        limit=most if most > 0 else None,
        replicas=info.config.num_replicas or 1,
        waiting={place.partition("/")[2]: n for place, n in consumers.items() if place.startswith(f"{name}/")},
    )


def _of_instances(running: list[Instance]) -> list[FaultView]:
    known = {name: [one for one in running if one.service == name] for name in ALL_SERVICES}
    missing = [FaultView(kind="missing", about=name) for name, found in known.items() if not found]
    mute = [
        FaultView(kind="no_relay", about=name)
        for name, found in known.items()
        if found and not any(one.leads for one in found)
    ]
    unready = [
        FaultView(kind="not_ready", about=f"{one.service} {one.name}", figure=one.reason)
        for one in running
        if not one.ready
    ]
    versions = sorted({one.version for one in running})
    mixed = [FaultView(kind="versions", about=", ".join(versions))] if len(versions) > 1 else []
    return [*missing, *mute, *unready, *mixed]


def _of_queues(known: dict[str, Any], streams: list[StreamView]) -> list[FaultView]:
    parked = [FaultView(kind="parked", about=name, figure=str(n)) for name, n in known["parked"].items() if n]
    unpublished = [
        FaultView(kind="unpublished", about=name, figure=str(n))
        for name, n in known["outbox"].items()
        if n and n > MOST_WAITING
    ]
    waiting = [
        FaultView(kind="waiting", about=f"{stream.name} {consumer}", figure=str(n))
        for stream in streams
        for consumer, n in stream.waiting.items()
        if n > MOST_WAITING
    ]
    full = [
        FaultView(kind="full", about=stream.name, figure=f"{100 * stream.bytes // stream.limit} %")
        for stream in streams
        if stream.limit and stream.bytes * 10 > stream.limit * 9
    ]
    return [*parked, *unpublished, *waiting, *full]


def _of_upkeep(one: UpkeepView, now: datetime) -> list[FaultView]:
    if one.at is None:
        return [FaultView(kind=f"no_{one.kind}", about="")]
    if not one.ok:
        return [FaultView(kind=f"failed_{one.kind}", about=one.told)]
    old = now - one.at > OLDEST[one.kind]
    return [FaultView(kind=f"old_{one.kind}", about=one.at.isoformat(timespec="minutes"))] if old else []
