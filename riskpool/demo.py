"""The shipped story, played once into a running stack so that there is something to look at."""

from pathlib import Path

from riskpool.scenario.embedded import make_tokens, organisations_of
from riskpool.scenario.report import Outcome
from riskpool.scenario.runner import Progress, run_scenario
from riskpool.scenario.story import load_story
from riskpool.stack import Stack

STORY = Path(__file__).parent / "scenarios" / "first-year.yaml"


async def load_demo(stack: Stack, progress: Progress | None = None) -> Outcome:
    """Play the story through the public doors; what did not hold is in the outcome."""
    story = load_story(STORY)
    tokens = await make_tokens(stack.database_url("gateway"), story.scheme, organisations_of(story))
    return await run_scenario(
        STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens, progress=progress
    )
