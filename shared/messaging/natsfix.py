"""Repairs of nats-py 2.16 under FastStream 0.7.8; tests/messaging/test_natsfix.py reproduces each fault.

1. A fetch whose deadline just passed raises bare TimeoutError, which FastStream does not catch: its task dies, and the
   partial batch it held stalls for ack_wait.
2. A closed connection or a deleted consumer makes fetch() raise at once: a hot loop that starves the event loop.
3. FastStream's batch loop waits for a full batch or its timeout. Here the first message is awaited with one long pull
   and what else is there is taken at once, so a lone message is not held back.
4. A publisher's subject that is no UTF-8 or holds a form feed, or a header of 8 bytes, ends the subscriber's
   connection; a header "Status" makes its message look like one of the server's, and it is dropped.

Drop this file when upstream is mended.
"""

import asyncio
import contextlib
import json
import re
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from nats.protocol import parser

BATCH = 100
WAIT_SECONDS = 5.0
_Pull = JetStreamContext.PullSubscription
_nats_fetch = _Pull.fetch
_nats_headers = Client._process_headers
_TOKEN = rb"([^ \t\r\n]+)[ \t]+"


async def _take_what_is_there(subscription: Any, most: int) -> list[Msg]:
    request = {"batch": most, "no_wait": True}
    taken: list[Msg] = []
    with contextlib.suppress(TimeoutError, nats.errors.Error):  # what was taken is kept
        await subscription._nc.publish(subscription._nms, json.dumps(request).encode(), subscription._deliver)
        while len(taken) < most:
            message = await subscription._sub.next_msg(timeout=1.0)
            if JetStreamContext.is_status_msg(message):
                break
            taken.append(message)
    return taken


async def fetch(self: Any, batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None) -> list[Msg]:
    """The first message as soon as it comes (nats TimeoutError when none does), and what else is there."""
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


async def _headers(self: Any, headers: bytes) -> Any:
    try:
        return await _nats_headers(self, headers)
    except Exception:
        return None


def _message(self: Any, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> Msg:
    return Msg(
        _client=self,
        subject=subject.decode(errors="backslashreplace"),
        reply=reply.decode(errors="backslashreplace"),
        data=data,
        headers=headers,
        _sid=sid,
    )


def _status(cls: type[JetStreamContext], message: Msg | None) -> str | None:
    if message is None or message.headers is None or message.reply.startswith("$JS.ACK."):
        return None
    return message.headers.get("Status")


def install() -> None:
    """Put the repairs in place, once a process."""
    _Pull.fetch = fetch  # type: ignore[method-assign]
    Client._process_headers = _headers  # type: ignore[method-assign]
    Client._build_message = _message  # type: ignore[method-assign]
    JetStreamContext.is_status_msg = classmethod(_status)  # type: ignore[assignment,method-assign]
    parser.MSG_RE = re.compile(rb"\AMSG[ \t]+" + _TOKEN + _TOKEN + rb"(" + _TOKEN + rb")?(\d+)\r\n")
    parser.HMSG_RE = re.compile(rb"\AHMSG[ \t]+" + _TOKEN + _TOKEN + rb"(" + _TOKEN + rb")?(\d+)[ \t]+(\d+)\r\n")
