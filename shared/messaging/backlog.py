"""What an institution sent that is not taken yet, and room for more: who floods holds up its own events alone."""

from dataclasses import dataclass
from datetime import datetime

from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from shared.contracts.registry import PARTNER_EVENTS
from shared.messaging import provisioning
from shared.messaging.provisioning import ingress_stream

TAKERS = frozenset(kind.owner for kind in PARTNER_EVENTS.values())


@dataclass(frozen=True)
class Backlog:
    """``waiting`` events are not yet taken, the oldest since ``since``; the stream keeps ``bytes`` of ``limit``."""

    waiting: int
    since: datetime | None
    bytes: int
    limit: int


async def backlog_of(js: JetStreamContext, institution: str) -> Backlog:
    """What waits of an institution's events, or is just being decided."""
    stream = ingress_stream(institution)
    try:
        info, taken = await _taken(js, stream)
        waiting = info.state.messages - max(0, taken - info.state.first_seq + 1)
        since = (await js.get_msg(stream, taken + 1, next=True)).time if waiting else None
    except NotFoundError:
        return Backlog(0, None, 0, provisioning.INGRESS_BYTES)
    return Backlog(waiting, since, info.state.bytes, provisioning.INGRESS_BYTES)


async def make_room(js: JetStreamContext, institution: str) -> bool:
    """Forget what every service has taken, once it fills half of the institution's stream; whether it was done."""
    stream = ingress_stream(institution)
    info, taken = await _taken(js, stream)
    if info.state.bytes < provisioning.INGRESS_BYTES // 2 or taken < info.state.first_seq:
        return False
    return await js.purge_stream(stream, seq=taken + 1)


async def _taken(js: JetStreamContext, stream: str) -> tuple[StreamInfo, int]:
    """The stream, and up to which of its messages every service has taken them."""
    info = await js.stream_info(stream)  # read first: a consumer that is idle after it has taken all of it
    found = {one.config.durable_name: one for one in await js.consumers_info(stream)}
    taken = info.state.last_seq
    for taker in TAKERS:
        one = found.get(taker)
        if one is None:
            return info, 0
        if one.num_pending or one.num_ack_pending:
            taken = min(taken, one.ack_floor.stream_seq if one.ack_floor else 0)
    return info, taken
