"""Libraries that keep a ledger or events in PostgreSQL, each in an environment of its own, beside the pool."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from riskpool.bench.peer_database import libpq, scratch_database
from riskpool.bench.peer_environments import SCRIPTS, NotMeasurable, environment, run
from riskpool.supervisor import StackError

CACHE = SCRIPTS.parent / ".bench"
START_SECONDS = 120.0


@dataclass(frozen=True)
class Peer:
    """A library's script in ``bench/<library>`` with its options."""

    name: str
    library: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Durable postings a second of the best batch size ``n`` (of pgbench: clients); None with the reason for it."""

    ops_per_second: float | None
    n: int = 0
    reason: str = ""


PEERS = (
    Peer("eventsourcing", "eventsourcing"),
    Peer("hordak", "hordak"),
    Peer("hordak_bulk", "hordak", ("--bulk",)),
    Peer("dbos", "dbos"),
    Peer("emmett", "emmett"),
)


async def make_environments(directory: Path = CACHE, say: Callable[[str], None] = lambda step: None) -> dict[str, str]:
    """Make what is missing; the libraries for which that cannot be done, each with its reason."""
    reasons = {}
    for library in dict.fromkeys(peer.library for peer in PEERS):
        say(f"the environment of {library}")
        try:
            await environment(library, directory)
        except NotMeasurable as reason:
            reasons[library] = str(reason)
    return reasons


async def peer_rate(
    peer: Peer, postgres_url: str, seconds: float, directory: Path = CACHE, batches: tuple[int, ...] = ()
) -> Measured:
    """One peer in a fresh database of that server, ``seconds`` each of the batch sizes (its own when none is given)."""
    try:
        command = await environment(peer.library, directory)
    except NotMeasurable as reason:
        return Measured(None, reason=str(reason))
    async with scratch_database(postgres_url, peer.name) as url:
        return await run_script([*command, *peer.options, str(seconds), *map(str, batches)], url, seconds)


async def run_script(command: list[str], url: URL, seconds: float) -> Measured:
    """A peer's script in a database; StackError when what it wrote is not what it sent, or it failed otherwise."""
    variables = libpq(url) | {"PYTHONPATH": str(SCRIPTS), "PYTHONDONTWRITEBYTECODE": "1"}
    code, output, errors = await run(command, {**os.environ, **variables}, START_SECONDS + 10 * seconds)
    if code != 0:
        raise StackError(f"The peer in {url.database} failed: {errors.strip() or output.strip()}")
    line = json.loads(output.strip().splitlines()[-1])
    if line["checked"] is not True:
        raise StackError(f"The peer in {url.database} did not check its result: {line}")
    return Measured(float(line["ops_per_second"]), int(line["n"]))
