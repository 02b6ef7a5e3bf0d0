"""A partner whose program is not Python: NATS's official JavaScript client, from its own registry."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
from nats.errors import Error as NatsError

from riskpool.partners.client import RECEIPT_SECONDS
from riskpool.scenario.embedded import make_tokens, organisations_of, scheme_under_id, temporary_stack
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import load_story
from tests.system.test_bus_access import FORBIDDEN

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "partners" / "node" / "client.mjs"
STORY = ROOT / "riskpool" / "scenarios" / "first-year.yaml"


class NodeClient:
    """One institution's program, asked by lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, program: Path, url: str, credentials: str) -> Self:
        file = program.with_name(f"{time.monotonic_ns()}.creds")
        file.write_text(credentials)
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec("node", program, url, file, stdin=pipe, stdout=pipe))

    async def ask(self, **asked: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline() or b'{"error": "the program ended"}')
        if "error" in answer:
            raise NatsError(answer["error"])
        return answer["ok"]

    async def publish(self, scheme: str, name: str, event: bytes) -> None:
        deadline = time.monotonic() + RECEIPT_SECONDS
        while True:
            try:
                await self.ask(publish=f"submit.{scheme}.{name}", event=event.decode())
                return
            except NatsError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def receipt(self, event_id: str, seconds: float = RECEIPT_SECONDS) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self.ask(receipt=event_id, seconds=seconds)
        return found

    async def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        await self._process.wait()


async def test_every_partner_of_the_first_year_is_a_javascript_program_and_reaches_nothing_else(
    node_packages: Path, tmp_path: Path
) -> None:
    started: list[NodeClient] = []
    program = Path(shutil.copy(PROGRAM, node_packages))

    async def connect(url: str, credentials: Callable[[], str]) -> NodeClient:
        started.append(await NodeClient.start(program, url, credentials()))
        return started[-1]

    async with temporary_stack([scheme_under_id(load_story(STORY), "yanqing", tmp_path)]) as stack:
        tokens = await make_tokens(stack.database_url("gateway"), "yanqing", organisations_of(load_story(STORY)))
        outcome = await run_scenario(
            STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens, connect=connect
        )
        assert outcome.ok, "\n".join(map(str, outcome.failed))
        assert len(started) > 2
        stranger = await NodeClient.start(program, stack.nats_url, await credentials_of(stack, tokens))
        for subject in FORBIDDEN.values():
            refused = await stranger.ask(**{"try": subject.replace("{bank-y}", "A" * 56)})
            assert refused and "permissions violation for publish" in refused[0].lower(), (subject, refused)
        for subject in (">", "events.>", "receipts.>", "partners.>", "_INBOX_pool.>"):
            refused = await stranger.ask(listen=subject)
            assert refused and "permissions violation for subscription" in refused[0].lower(), (subject, refused)
        await stranger.close()


async def credentials_of(stack: Any, tokens: Callable[[str], str]) -> str:
    headers = {"Authorization": f"Bearer {tokens('drc')}"}
    url = f"{stack.api_url}/v1/schemes/yanqing/institutions/bank-a/bus-credentials"
    async with httpx.AsyncClient(trust_env=False) as http:
        return str((await http.post(url, headers=headers, json={})).json()["credentials"])
