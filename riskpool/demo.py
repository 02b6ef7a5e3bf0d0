"""`riskpool demo`: the shipped year of a fund, played through the public doors, then told in plain words."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from riskpool.scenario.command import given_tokens, progress_bar, run_until_told_to_stop
from riskpool.scenario.doors import HttpDoor, Tokens
from riskpool.scenario.embedded import make_tokens, organisations_of, temporary_stack
from riskpool.scenario.report import Outcome, fund_table, in_thousands
from riskpool.scenario.runner import READER, Progress, run_scenario
from riskpool.scenario.story import StoryError, load_story
from riskpool.scenario.telling import sentence
from riskpool.stack import Stack
from riskpool.supervisor import StackError

STORY = Path(__file__).parent / "scenarios" / "first-year.yaml"
SCHEME = "yanqing"
ENTERPRISE_A = "91110119MA01ABC17J"


async def load_demo(stack: Stack, progress: Progress | None = None) -> Outcome:
    """Play the story through the public doors of a running stack; what did not hold is in the outcome."""
    tokens = await _tokens_on(stack)
    return await run_scenario(STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens, progress=progress)


def demo(
    url: Annotated[str | None, typer.Option(help="Play against this gateway instead of a stack of its own.")] = None,
    tokens: Annotated[Path | None, typer.Option(help="With --url: a YAML file organisation: token.")] = None,
) -> None:
    """One year of a fund on a stack of its own: what happened to one enterprise, the pool and its ledger."""
    console = Console(highlight=False)
    try:
        with progress_bar(console) as (on_step, on_stack):
            run = _on_given(url, given_tokens(tokens), on_step) if url else _on_own(on_step, on_stack)
            outcome, found = run_until_told_to_stop(run)
    except (StoryError, StackError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"riskpool: {error}", markup=False)
        raise typer.Exit(1) from None
    show(console, outcome, found)
    raise typer.Exit(0 if outcome.ok else 1)


def show(console: Console, outcome: Outcome, found: dict[str, Any]) -> None:
    """The enterprise's year, the ledger and the fund."""
    case = found["case"]
    console.print(f"\n[bold]What happened to {case.get('name', ENTERPRISE_A)}[/] ({ENTERPRISE_A})", soft_wrap=True)
    for event in case.get("timeline", []):
        if said := sentence(event):
            console.print(f"  {event['at'][:10]}  {said}", soft_wrap=True, markup=False)
    console.print()
    console.print(_ledger(found["entries"]))
    console.print(_accounts(found["accounts"]))
    console.print(fund_table(outcome.scheme, outcome.pool))
    for failure in outcome.failed:
        console.print(str(failure), style="red", markup=False, soft_wrap=True)
    if outcome.ok:
        console.print(f"[green]{outcome.steps} steps, every one held[/] ({outcome.seconds:.1f} s)")


async def _tokens_on(stack: Stack) -> Tokens:
    return await make_tokens(stack.database_url("gateway"), SCHEME, organisations_of(load_story(STORY)))


async def _on_own(on_step: Progress, on_stack: Any) -> tuple[Outcome, dict[str, Any]]:
    async with temporary_stack(progress=on_stack) as stack:
        outcome = await load_demo(stack, on_step)
        return outcome, await _read(stack.api_url, await _tokens_on(stack))


async def _on_given(url: str, tokens: Tokens, on_step: Progress) -> tuple[Outcome, dict[str, Any]]:
    outcome = await run_scenario(STORY, api_url=url, tokens=tokens, progress=on_step)
    return outcome, await _read(url, tokens)


async def _read(url: str, tokens: Tokens) -> dict[str, Any]:
    door = HttpDoor(url, SCHEME, tokens)
    try:
        _, case = await door.read(READER, f"/cases/{ENTERPRISE_A}")
        _, entries = await door.read(READER, "/ledger/entries?limit=200")
        _, accounts = await door.read(READER, "/ledger/accounts")
    finally:
        await door.close()
    return {"case": case, "entries": entries.get("items", []), "accounts": accounts.get("items", [])}


def _ledger(entries: list[dict[str, Any]]) -> Table:
    table = Table(title="The ledger: every posting sums to zero", title_justify="left")
    table.add_column("date", no_wrap=True)
    table.add_column("cause", overflow="fold")
    table.add_column("account", overflow="fold")
    table.add_column("debit", justify="right", no_wrap=True)
    table.add_column("credit", justify="right", no_wrap=True)
    for number, entry in enumerate(entries):
        first = not number or entries[number - 1]["event_id"] != entry["event_id"]
        amount = str(entry["amount"])
        credit = amount.startswith("-")
        table.add_row(
            *((entry["on"], entry["cause"]) if first else ("", "")),
            entry["account"],
            "" if credit else in_thousands(amount),
            in_thousands(amount[1:]) if credit else "",
        )
    return table


def _accounts(accounts: list[dict[str, Any]]) -> Table:
    table = Table(title="Balances, derived from the entries alone", title_justify="left")
    table.add_column("account")
    table.add_column("balance", justify="right")
    for account in accounts:
        table.add_row(account["account"], in_thousands(str(account["balance"])))
    return table
