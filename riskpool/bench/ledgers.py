"""The pool's writer beside pgbench, its own limit, and other ledgers of events in the same PostgreSQL."""

import contextlib
import random
import statistics
from collections.abc import Awaitable, Callable
from hashlib import sha256
from time import process_time
from typing import TYPE_CHECKING

from riskpool.bench.half_year import half_year_milliseconds
from riskpool.bench.hot_path import funds
from riskpool.bench.peer_libraries import PEERS, Peer, make_environments, peer_rate
from riskpool.bench.peer_pgbench import Pgbench, pgbench
from riskpool.bench.soak import soak
from riskpool.proof.rate import replay_rate

if TYPE_CHECKING:
    from riskpool.bench.rounds import Figures, Result, Size

BATCHES = (100, 1000)
SINGLES, HUNDREDS, ALONE = 200, 200, 300
PAYLOAD_BYTES = 1200
Work = Callable[[], Awaitable["Figures"]]


async def measure_writer(owner_url: str, size: "Size", result: "Result", say: Callable[[str], None]) -> None:
    """Rounds in random order; every library's environment is made before, and every run checks what it wrote."""
    missing = await make_environments(say=say)
    peers = [peer for peer in PEERS if peer.library not in missing]
    async with contextlib.AsyncExitStack() as resources:
        bench = await resources.enter_async_context(pgbench(owner_url))
        for number in range(size.rounds):
            works = [*_of_pgbench(bench, size), *(_of_peer(peer, owner_url, size) for peer in peers)]
            works += [_hot_fund(owner_url, size), _many_funds(owner_url, size), _audit]
            for work in random.sample(works, len(works)):
                say(f"{work.__name__.strip('_').replace('_', ' ')}, round {number + 1} of {size.rounds}")
                result.add(await work())
    for figures in await soak(owner_url, size.soak, say):
        result.add(figures)
    say(f"a half-year over {size.journal:,} rows")
    result.add(await half_year_milliseconds(owner_url, size.journal))


def _of_pgbench(bench: Pgbench, size: "Size") -> list[Work]:
    async def one_hot_row() -> "Figures":
        return {"pg_hot": (await bench.hot_row(max(size.seconds // 2, 1))).ops_per_second or 0.0}

    async def many_rows() -> "Figures":
        return {"pg_many": (await bench.many_rows(max(size.seconds // 2, 1))).ops_per_second or 0.0}

    async def one_update() -> "Figures":
        return {"update_p50": statistics.median(await bench.update_milliseconds(max(size.seconds // 2, 1)))}

    return [one_hot_row, many_rows, one_update]


def _of_peer(peer: Peer, owner_url: str, size: "Size") -> Work:
    async def library() -> "Figures":
        return {peer.name: (await peer_rate(peer, owner_url, size.peer_seconds)).ops_per_second or 0.0}

    library.__name__ = peer.name
    return library


def _hot_fund(owner_url: str, size: "Size") -> Work:
    async def hot_fund() -> "Figures":
        async with funds(owner_url) as fund:
            best = max([await fund.rate(size.hot, batch) for batch in BATCHES])
            bare = await fund.limit(max(BATCHES), size.hot)
            single = await fund.milliseconds(SINGLES, 1)
            hundred = await fund.milliseconds(HUNDREDS, 100)
            alone = await fund.transactions(ALONE)
        return {
            "hot_fund": best, "bare_rows": bare, "by_transactions": alone, "one_p50": statistics.median(single),
            "hundred_p50": statistics.median(hundred), "hundred_p99": statistics.quantiles(hundred, n=100)[98],
        }  # fmt: skip

    return hot_fund


def _many_funds(owner_url: str, size: "Size") -> Work:
    async def many_funds() -> "Figures":
        async with funds(owner_url, size.funds) as some:
            return {"many_funds": await some.rate(size.hot, max(BATCHES))}

    return many_funds


async def _audit() -> "Figures":
    """Chains and balances replayed on one core, beside nothing but the hash of as many bytes."""
    replayed = replay_rate(200_000)
    content, digest, begun = bytes(PAYLOAD_BYTES), bytes(32), process_time()
    for _ in range(200_000):
        digest = sha256(digest + content).digest()
    return {"replayed": replayed, "hashed": 200_000 / (process_time() - begun)}
