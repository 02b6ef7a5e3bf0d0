"""Accounts for a first look at the console: one for every organisation, all with one password made at first start."""

from pathlib import Path

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.stack import Stack
from services.gateway.auth.first_accounts import seed
from shared.scheme.loader import load_scheme


async def make_first_accounts(stack: Stack, demo: bool) -> str | None:
    """The password of the accounts made, or None when the installation has accounts already."""
    schemes = [load_scheme(name) for name in stack.schemes or ("yanqing",)]
    engine = create_async_engine(stack.database_url("gateway"), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await seed(connection, schemes, _institutions() if demo else {})
    finally:
        await engine.dispose()


def _institutions() -> dict[str, list[str]]:
    """Institutions that sign an agreement in the demo, by scheme."""
    from riskpool.scenario.story import load_story  # only for the demo: it reads the whole contract

    story = load_story(Path(__file__).parent / "scenarios" / "first-year.yaml")
    signed = [str(step.fields["institution"]) for step in story.steps if step.do == "SignAgreement"]
    return {story.scheme: signed}
