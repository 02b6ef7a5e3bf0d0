"""A closed door is knocked at again, as a real client does: with the same key, and not for ever."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from riskpool.scenario import doors
from riskpool.scenario.doors import DoorError, open_doors

DAY = date(2026, 3, 2)
ACCEPTED = b'{"accepted": true, "events": [], "result": {}}'


@asynccontextmanager
async def gateway(*statuses: int, port: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers one connection after the other with these statuses; 0 hangs up. Its port, the keys seen."""
    keys: list[str] = []
    left = list(statuses)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        keys.append(head.partition("idempotency-key: ")[2].partition("\r\n")[0])
        if status := left.pop(0):
            size = len(ACCEPTED)
            line = f"HTTP/1.1 {status} X\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n"
            writer.write(line.encode() + ACCEPTED)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        yield server.sockets[0].getsockname()[1], keys


async def inject(port: int) -> Any:
    async with open_doors(f"http://127.0.0.1:{port}", None, "yanqing", lambda _: "token") as open_ones:
        return await open_ones.command("finance", "InjectCapital", {"amount": "1.00"}, DAY)


async def test_a_command_is_made_again_under_its_key_while_the_gateway_is_away() -> None:
    async with gateway(503, 0, 502, 504, 200) as (port, keys):
        answer = await inject(port)
    assert answer.outcome == "accepted" and answer.body == json.loads(ACCEPTED)
    assert len(keys) == 5 and len(set(keys)) == 1 and keys[0]


async def test_a_refusal_is_not_asked_for_again() -> None:
    async with gateway(409) as (port, keys):
        answer = await inject(port)
    assert answer.outcome == "refused" and len(keys) == 1


async def test_a_gateway_that_never_answers_is_given_up_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_FIRST_WAIT_S", 0.5)
    async with gateway() as (port, _):
        pass
    with pytest.raises(DoorError, match="commands/InjectCapital: the gateway does not answer"):
        await inject(port)
