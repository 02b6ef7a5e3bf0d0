"""A stack of its own for one run: free ports, a temporary directory, tokens made on demand, mischief when asked for."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from riskpool.mischief import MischiefProxy
from riskpool.place import free_port
from riskpool.scenario.runner import READER
from riskpool.scenario.story import Story
from riskpool.stack import Stack


def organisations_of(story: Story) -> set[str]:
    """Everybody who speaks in a story, and the reader."""
    return {READER, *(step.by for step in story.steps if step.by), *filter(None, [story.custodian])}


async def make_tokens(database_url: str, scheme: str, organisations: Iterable[str]) -> Callable[[str], str]:
    """A new token of each organisation, made in the gateway's database as ``riskpool token create`` makes them."""
    from sqlalchemy import NullPool, make_url
    from sqlalchemy.ext.asyncio import create_async_engine

    from services.gateway.auth.tokens import create

    engine = create_async_engine(make_url(database_url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            made = {one: (await create(connection, scheme, one, "scenario"))[1] for one in sorted(organisations)}
    finally:
        await engine.dispose()
    return made.__getitem__


def scheme_under_id(story: Story, scheme_id: str, directory: Path) -> Path:
    """A scheme file with that id and the rules of the story's scheme, so that stories share a stack undisturbed."""
    file = directory / f"{scheme_id}.toml"
    base = story.scheme_file or story.scheme
    file.write_text(f'id = "{scheme_id}"\nextends = "{base}"\n', encoding="utf-8")
    return file


@asynccontextmanager
async def temporary_stack(
    schemes: Sequence[Path | str] = (),
    *,
    duplicate: bool = False,
    shuffle: int | None = None,
    counts: dict[str, int] | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> AsyncIterator[Stack]:
    """A stack with business time from the messages; ``counts`` tells what mischief was done before NATS."""
    directory = Path(tempfile.mkdtemp(prefix="riskpool-scenario-"))
    directory.chmod(0o711)
    ports: dict[str, int] = {}
    environment: dict[str, str] = {}
    async with AsyncExitStack() as resources:
        resources.callback(shutil.rmtree, directory, ignore_errors=True)
        if duplicate or shuffle is not None:
            ports["nats"], twin = free_port()
            resources.enter_context(twin)
            upstream = f"nats://127.0.0.1:{ports['nats']}"
            proxy = MischiefProxy(upstream, duplicate=duplicate, shuffle=shuffle, counts=counts)
            await resources.enter_async_context(proxy)
            environment["RISKPOOL_NATS_URL"] = proxy.url
        stack = Stack(directory / "data", ports, schemes, "message", environment)
        await stack.start(progress)
        resources.push_async_callback(stack.stop)
        yield stack
