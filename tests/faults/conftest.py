"""One random year played in peace and under faults, for the modules that compare them; a module says on what.

httpx's lines are left out, so that a run prints its seed and its summary.
"""

import logging
import os
from collections.abc import AsyncIterator, Sequence
from random import SystemRandom

import pytest
import pytest_asyncio

from riskpool.layout import Layout
from tests.faults.cast import cast_of, pause_line
from tests.faults.storm import WEIGHTS, Storm, plan
from tests.faults.world import World, Year, world

logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="module")
def seed() -> int:
    chosen = int(os.environ.get("SEED") or SystemRandom().randrange(1_000_000))
    print(f"\nSEED={chosen}")
    return chosen


@pytest.fixture(scope="module")
def faults() -> int:
    """How many faults befall the stormy year."""
    return int(os.environ.get("FAULTS") or 8)


@pytest.fixture(scope="module")
def enterprises(faults: int) -> int:
    return max(6, faults // 5)


@pytest.fixture(scope="module")
def layout() -> Layout:
    """How many nodes and replicas the stack has."""
    return Layout()


@pytest.fixture(scope="module")
def kinds() -> Sequence[str]:
    """What befalls the stormy year."""
    return tuple(WEIGHTS)


@pytest.fixture(scope="module")
def disturbed() -> bool:
    """Whether the bus delivers everything twice and late in the stormy year."""
    return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    seed: int, enterprises: int, layout: Layout, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    directory, line = tmp_path_factory.mktemp("schemes"), pause_line(cast_of(seed, enterprises))
    files = []
    for name in ("calm", "stormy"):
        files.append(directory / f"{name}.toml")
        settings = f'[settings."pause.at"]\nvalue = "{line}"\n'
        files[-1].write_text(f'id = "{name}"\nextends = "yanqing"\n{settings}', encoding="utf-8")
    async with world(files, seed, layout) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calm(running: World, seed: int, enterprises: int) -> Year:
    return await running.year("calm", seed, enterprises, calm=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stormy(
    running: World,
    calm: Year,
    seed: int,
    enterprises: int,
    faults: int,
    layout: Layout,
    kinds: Sequence[str],
    disturbed: bool,
) -> Year:
    possible = [kind for kind in kinds if running.disk or kind != "full disk"]
    planned = plan(seed, faults, calm.business.actions, possible, layout, running.links)
    storm = Storm(running.stack, running.links, running.disk, planned)
    try:
        if disturbed:
            await running.disturb_bus(seed)
        year = await running.year("stormy", seed, enterprises, reached=storm.reached)
        await storm.over()
    finally:
        await storm.stop()
        print(f"\nSEED={seed}", *storm.done, sep="\n  ")
    tell = {"faults": storm.counts, "partners' messages": year.mischief.counts, "bus": running.counts}
    for what, counts in tell.items():
        print(f"{what}: {sum(counts.values())}", dict(counts))
    print(f"restarts: {running.stack.description()['restarts']}")
    print(f"{calm.business.actions} actions; calm {calm.seconds:.1f} s, stormy {year.seconds:.1f} s")
    return year
