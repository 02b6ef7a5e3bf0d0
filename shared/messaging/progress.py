"""Whether everything that was published has been taken: each outbox empty, each consumer idle, and nothing new meanwhile."""

from typing import TYPE_CHECKING, Any

from nats.js.api import StreamInfo

from shared.contracts.registry import SERVICES
from shared.messaging.bus import AnswerTimeout, ServiceUnavailable

if TYPE_CHECKING:
    from shared.messaging.service import Service

ASK_SECONDS = 2.0


async def progress(service: "Service") -> dict[str, Any]:
    """``{settled, outbox: {service: unpublished}, parked: {service: count}, consumers: {stream/durable: pending}}``.

    Outboxes are read before and after the consumers: a message at work is either not acked (its consumer is busy) or its
    effects are in an outbox or in a stream that has grown (messages.last changed).
    """
    before, lasts = await _outboxes(service), await _last_sequences(service)
    consumers = await _consumers(service)
    after, lasts_after = await _outboxes(service), await _last_sequences(service)
    idle = all(count == 0 for count in consumers.values())
    empty = all(one.get("unpublished") == 0 for one in (*before.values(), *after.values()))
    return {
        "settled": idle and empty and lasts == lasts_after,
        "outbox": {name: one.get("unpublished") for name, one in after.items()},
        "parked": {name: one.get("parked") for name, one in after.items()},
        "consumers": consumers,
    }


async def _outboxes(service: "Service") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in (*SERVICES, "gateway"):
        try:
            found[name] = await service.bus.request(f"progress.{name}", b"{}", ASK_SECONDS)
        except (ServiceUnavailable, AnswerTimeout):
            found[name] = {"unpublished": None, "parked": None}
    return found


async def _streams(service: "Service") -> list[StreamInfo]:
    return list(await service.bus.js.streams_info())


async def _last_sequences(service: "Service") -> dict[str, int]:
    return {info.config.name or "": info.state.last_seq for info in await _streams(service)}


async def _consumers(service: "Service") -> dict[str, int]:
    waiting: dict[str, int] = {}
    for stream in await _last_sequences(service):
        for info in await service.bus.js.consumers_info(stream):
            if info.config.durable_name:
                waiting[f"{stream}/{info.name}"] = (info.num_pending or 0) + (info.num_ack_pending or 0)
    return waiting


