"""The same on three nodes of the bus with two replicas of every service: nodes and replicas die, nodes forget."""

import os
from collections.abc import Sequence

import pytest

from riskpool.layout import Layout
from tests.faults.books import decided, differences, faults_in_receipts, parked, unfinished
from tests.faults.storm import OF_SEVERAL, WEIGHTS
from tests.faults.world import World, Year

MANY = int(os.environ.get("FAULTS") or 0) // 4  # each takes longer here, for the nodes choose a leader anew
SECONDS = 900 + 40 * MANY
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chaos, pytest.mark.timeout(SECONDS)]
# Without FAULTS three enterprises, a bus that disturbs nothing, and of these one each.
FEW = ("kill node", "kill replica", "forget node", "forget")


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout(nodes=3, replicas=2)


@pytest.fixture(scope="module")
def kinds() -> Sequence[str]:
    return (*WEIGHTS, *OF_SEVERAL) if MANY else FEW


@pytest.fixture(scope="module")
def faults() -> int:
    return MANY or len(FEW)


@pytest.fixture(scope="module")
def enterprises(faults: int) -> int:
    return max(6, faults // 5) if MANY else 3


@pytest.fixture(scope="module")
def disturbed() -> bool:
    return bool(MANY)


async def test_a_year_in_which_nodes_and_replicas_die_and_nodes_forget_comes_to_the_same_books(
    running: World, calm: Year, stormy: Year
) -> None:
    assert calm.business.accepted["TransferSettled"] and calm.business.accepted["RecoveryCollected"]
    found = differences(decided(calm.books), decided(stormy.books))
    assert not found, "\n".join(found)
    assert await faults_in_receipts(running.stack, "stormy", stormy.mischief.sent) == []
    assert await parked(running.stack, "stormy") == await parked(running.stack, "calm")
    assert await unfinished(running.stack) == []
