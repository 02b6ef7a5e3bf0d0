"""Whether all that was published has been taken: each outbox empty, each consumer idle, nothing new meanwhile."""

import asyncio
from typing import TYPE_CHECKING, Any

import nats.errors

from shared.contracts.registry import SERVICES
from shared.messaging.bus import AnswerTimeout, ServiceUnavailable

if TYPE_CHECKING:
    from shared.messaging.service import Service

ASK_SECONDS = 2.0


async def progress(service: "Service") -> dict[str, Any]:
    """``{settled, outbox: {service: unpublished}, parked: {service: count}, consumers: {stream/durable: waiting}}``.

    Where nothing waits, outboxes and streams are read once more after the consumers: a message at work is either not
    acked (its consumer is busy), or its effects wait in an outbox, or they made a stream longer. After a loss of the
    bus nothing is settled until every relay has found the new streams and every consumer is there again.
    ServiceUnavailable when it is away.
    """
    try:
        before, streams = await asyncio.gather(_outboxes(service), _streams(service))
        found = await asyncio.gather(*(_waiting(service, stream) for stream in streams))
        consumers = {place: count for one in found for place, count in one.items()}
        idle = not any(consumers.values())
        is_still = idle and not any(one["unpublished"] for one in before.values())
        after, streams_after = (
            await asyncio.gather(_outboxes(service), _streams(service)) if is_still else (before, streams)
        )
    except (nats.errors.Error, TimeoutError) as error:
        raise ServiceUnavailable("the bus") from error
    made = {name: created for name, (created, _) in streams.items()}
    told = (*before.values(), *after.values())
    full = all(one["unpublished"] == 0 and one["relayed"].items() <= made.items() for one in told)
    bound = all(place in consumers for one in told for place in one.get("takes", ()))
    return {
        "settled": idle and full and bound and streams == streams_after,
        "outbox": {name: one["unpublished"] for name, one in after.items()},
        "parked": {name: one["parked"] for name, one in after.items()},
        "consumers": consumers,
    }


async def _outboxes(service: "Service") -> dict[str, dict[str, Any]]:
    names = (*SERVICES, "gateway")
    return dict(zip(names, await asyncio.gather(*(_outbox(service, name) for name in names)), strict=True))


async def _outbox(service: "Service", name: str) -> dict[str, Any]:
    try:
        return await service.bus.request(f"progress.{name}", b"{}", ASK_SECONDS)
    except (ServiceUnavailable, AnswerTimeout):
        return {"unpublished": None, "parked": None}


async def _streams(service: "Service") -> dict[str, tuple[str, int]]:
    infos = await service.bus.js.streams_info()
    return {info.config.name or "": (str(info.created), info.state.last_seq) for info in infos}


async def _waiting(service: "Service", stream: str) -> dict[str, int]:
    """Of the services' consumers: when a partner fetches its receipts is its own affair."""
    consumers = await service.bus.js.consumers_info(stream)
    return {
        f"{stream}/{info.name}": (info.num_pending or 0) + (info.num_ack_pending or 0)
        for info in consumers
        if info.config.durable_name in (*SERVICES, "gateway")
    }
