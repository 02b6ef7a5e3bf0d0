"""The shipped story, played once into a running stack so that there is something to look at."""

from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.scenario.report import Outcome
from riskpool.scenario.runner import Progress, run_scenario
from riskpool.scenario.story import Story, load_story
from riskpool.stack import Stack
from services.gateway.auth import tokens

STORY = Path(__file__).parent / "scenarios" / "first-year.yaml"
NOTE = "demo data"


async def load_demo(stack: Stack, progress: Progress | None = None) -> Outcome:
    """Play the story through the public doors; what did not hold is in the outcome."""
    story = load_story(STORY)
    speaks_for = await _tokens(stack.database_url("gateway"), story)
    return await run_scenario(
        STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=speaks_for.__getitem__, progress=progress
    )


async def _tokens(gateway_url: str, story: Story) -> dict[str, str]:
    organisations = {step.by for step in story.steps if step.by} | {"drc"} | ({story.custodian} - {""})
    engine = create_async_engine(gateway_url)
    try:
        async with engine.begin() as connection:
            made = {name: await tokens.create(connection, story.scheme, name, NOTE) for name in sorted(organisations)}
        return {name: token for name, (_, token) in made.items()}
    finally:
        await engine.dispose()
