"""`riskpool scenario`: run a story, on a stack of its own or on one that is running, and say how it went."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from riskpool.scenario.text import StoryError, read_yaml
from riskpool.supervisor import StackError

if TYPE_CHECKING:
    from riskpool.scenario.report import Outcome
    from riskpool.scenario.story import Step, Story

OnStep = Callable[[int, int, "Step"], None]
OnStack = Callable[[str], None]
T = TypeVar("T")
TOKENS_VARIABLE = "RISKPOOL_TOKENS"


def scenario(
    file: Annotated[Path, typer.Argument(help="The story (docs/scenarios.md).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON and nothing else.")] = False,
    url: Annotated[str | None, typer.Option(help="Run against this gateway instead of a stack of its own.")] = None,
    nats: Annotated[
        str | None, typer.Option(help="With --url: the bus; without it partner events go over HTTP.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(help=f"With --url: YAML, organisation: token (else in ${TOKENS_VARIABLE}).")
    ] = None,
    scheme: Annotated[str | None, typer.Option(help="With --url: another scheme's id than the story's.")] = None,
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Deliver and send every message twice.")] = False,
    shuffle: Annotated[int | None, typer.Option(help="Delay and reorder deliveries, by this seed.")] = None,
) -> None:
    """Run a story through the system's public doors. Exit 0 when every step and expectation held, else 1."""
    from riskpool.scenario.report import print_outcome
    from riskpool.scenario.runner import run_scenario
    from riskpool.scenario.story import load_story

    console = Console(stderr=as_json, highlight=False)
    try:
        if not url and (nats or tokens or scheme):
            raise StoryError("--nats, --tokens and --scheme go with --url")
        story = load_story(file)
        with progress_bar(console) as (on_step, on_stack):
            if url:
                run = run_scenario(
                    file,
                    api_url=url,
                    nats_url=nats,
                    tokens=given_tokens(tokens),
                    duplicate=duplicate,
                    seed=shuffle,
                    scheme=scheme,
                    progress=on_step,
                )
            else:
                run = on_own_stack(story, duplicate, shuffle, on_step, on_stack)
            outcome = run_until_told_to_stop(run)
    except (StoryError, StackError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"riskpool: {error}", markup=False)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(outcome.document(), ensure_ascii=False, indent=2))
    else:
        print_outcome(console, outcome)
    raise typer.Exit(0 if outcome.ok else 1)


def run_until_told_to_stop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGTERM ends the work as Ctrl-C does, so that a stack of its own is stopped too."""

    async def guarded() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None


async def on_own_stack(
    story: "Story", duplicate: bool, shuffle: int | None, on_step: OnStep, on_stack: OnStack
) -> "Outcome":
    """Run a story on a stack that is started for it in a temporary directory."""
    from riskpool.scenario.embedded import make_tokens, organisations_of, temporary_stack
    from riskpool.scenario.runner import run_scenario, scheme_of

    scheme_id = scheme_of(story)
    schemes = (story.scheme_file or story.scheme,)
    async with temporary_stack(schemes, duplicate=duplicate, shuffle=shuffle, progress=on_stack) as stack:
        tokens = await make_tokens(stack.database_url("gateway"), scheme_id, organisations_of(story))
        return await run_scenario(
            story.path,
            api_url=stack.api_url,
            nats_url=stack.nats_url,
            tokens=tokens,
            duplicate=duplicate,
            seed=shuffle,
            progress=on_step,
        )


def given_tokens(file: Path | None) -> Callable[[str], str]:
    """Tokens by organisation from a YAML file, or from the variable: its path or its text."""
    told = os.environ.get(TOKENS_VARIABLE, "")
    if file is None and told and "\n" not in told and Path(told).is_file():
        file = Path(told)
    if file is None and not told:
        raise StoryError(f"the organisations' tokens are needed: --tokens FILE, or the variable {TOKENS_VARIABLE}")
    try:
        text = file.read_text(encoding="utf-8") if file else told
    except OSError as error:
        raise StoryError(f"the tokens {file} cannot be read: {error.strerror}") from None
    known: Any = read_yaml(text, "the tokens")
    if not isinstance(known, dict):
        raise StoryError("the tokens are written organisation: token, a line each")

    def token(organisation: str) -> str:
        if organisation not in known:
            raise StoryError(f"no token of {organisation} was given, only of {', '.join(map(str, known))}")
        return str(known[organisation])

    return token


@contextmanager
def progress_bar(console: Console) -> Iterator[tuple[OnStep, OnStack]]:
    """A progress bar: one callback for the story's steps, one for the stack's."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def on_step(number: int, total: int, step: "Step") -> None:
            progress.update(task, completed=number - 1, total=total, description=f"{step.on} {step.expect or step.do}")

        def on_stack(said: str) -> None:
            progress.update(task, description=f"ready: {said}")

        yield on_step, on_stack
