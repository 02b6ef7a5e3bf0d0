"""A million events for one fund: their rate, memory meanwhile, and how fast the fund is then beside a small one."""

import gc
import random
from collections.abc import Callable

import psutil

from riskpool.bench.hot_path import funds

CHUNKS = 20
ROUNDS = 11
BATCH = 1000


async def soak(owner_url: str, events: int, say: Callable[[str], None]) -> list[dict[str, float]]:
    """So many events for one fund and a hundredth of them for another; then both in eleven rounds of random order.

    Rates are events a second, memory is that of this process, in which the writer works, in MB.
    """
    async with funds(owner_url, name="large") as large, funds(owner_url, name="small") as small:
        short = await small.rate(events // 100, BATCH)
        seconds, megabytes = 0.0, []
        for number in range(CHUNKS):
            say(f"a long run, {number * 100 // CHUNKS} of 100")
            seconds += events / CHUNKS / await large.rate(events // CHUNKS, BATCH)
            gc.collect()
            megabytes.append(psutil.Process().memory_info().rss / 2**20)
        fifth, end = megabytes[CHUNKS // 5 - 1], megabytes[-1]
        figures = [{"soak": events / seconds, "short": short, "fifth_mb": fifth, "end_mb": end}]
        for number in range(ROUNDS):
            say(f"a large fund and a small one, round {number + 1} of {ROUNDS}")
            pair = random.sample([("large", large), ("small", small)], 2)
            figures.append({name: await fund.rate(events // 500, BATCH) for name, fund in pair})
        return figures
