"""Repairs fetch() of nats-py 2.16 under FastStream 0.7.8; tests/messaging/test_natsfix.py reproduces each fault.

1. A fetch whose deadline just passed raises bare TimeoutError; FastStream catches it only in some versions, its task dies
   and the partial batch it held stalls for ack_wait.
2. A closed connection or a deleted consumer makes fetch() raise at once: a hot loop that starves the event loop.
3. FastStream's batch loop waits for a full batch or its timeout. Here the first message is awaited with one long pull and
   what else is there is taken at once, so a lone message is not held back. Drop this file when upstream is mended.
"""

import asyncio
import json
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

BATCH = 100
WAIT_SECONDS = 5.0
_Pull = JetStreamContext.PullSubscription
_nats_fetch = _Pull.fetch


async def _take_what_is_there(subscription: Any, most: int) -> list[Msg]:
    request = {"batch": most, "no_wait": True}
    await subscription._nc.publish(subscription._nms, json.dumps(request).encode(), subscription._deliver)
    taken: list[Msg] = []
    while len(taken) < most:
        try:
            message = await subscription._sub.next_msg(timeout=1.0)
        except (TimeoutError, nats.errors.TimeoutError):
            break
        if JetStreamContext.is_status_msg(message):
            break
        taken.append(message)
    return taken


async def fetch(self: Any, batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None) -> list[Msg]:
    """The first message as soon as it comes (nats TimeoutError when none does), with what else is there, up to ``batch``."""
    if batch < BATCH:
        raise nats.errors.TimeoutError  # FastStream asks for the rest of a partial batch: there is none to wait for
    try:
        first: list[Msg] = await _nats_fetch(self, 1, timeout, heartbeat)
    except nats.errors.TimeoutError:
        raise
    except TimeoutError as error:
        raise nats.errors.TimeoutError from error
    except (nats.errors.ConnectionClosedError, nats.js.errors.APIError, nats.errors.NoRespondersError):
        await asyncio.sleep(1.0)
        raise
    return first + await _take_what_is_there(self, batch - len(first))


def install() -> None:
    """Put the repaired fetch in place, once a process."""
    _Pull.fetch = fetch  # type: ignore[method-assign]
