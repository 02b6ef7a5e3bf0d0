"""A year of the fund while the bus delivers everything twice, late and out of order."""

import pytest

from riskpool.demo import STORY
from riskpool.scenario.embedded import make_tokens, organisations_of, temporary_stack
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import load_story


@pytest.mark.chaos
async def test_the_first_year_holds_when_everything_comes_twice_and_late() -> None:
    counts: dict[str, int] = {}
    async with temporary_stack(duplicate=True, shuffle=7, counts=counts) as stack:
        tokens = await make_tokens(stack.database_url("gateway"), "yanqing", organisations_of(load_story(STORY)))
        outcome = await run_scenario(
            STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens, duplicate=True, seed=7
        )
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    assert outcome.pool["balance"] == "29714666.66"
    assert counts["doubled"] > 500 and counts["overtaken"] > 0
