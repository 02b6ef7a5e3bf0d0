"""`riskpool partner simulate`: plays a bank through a year over the real bus, with its credentials and tokens."""

import asyncio
import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from nats.errors import Error as NatsError

from riskpool.partners.bank import Bank
from riskpool.partners.certify import CONNECT_SECONDS
from riskpool.partners.client import PartnerClient
from riskpool.partners.others import Others
from riskpool.partners.simulation import Simulation
from riskpool.scenario.command import given_tokens
from riskpool.scenario.doors import Answer, DoorError, HttpDoor
from riskpool.scenario.story import Step
from riskpool.scenario.text import StoryError
from riskpool.token import fail


def in_words(line: dict[str, Any]) -> str:
    """A line as a person reads it."""
    if "seed" in line:
        counts = {name: [f"{n} {outcome}" for outcome, n in of.items()] for name, of in line["events"].items()}
        said = [f"{name}: {', '.join(each)}" for name, each in counts.items()]
        rules = ", ".join(f"{rule} {n}" for rule, n in line["refused_by"].items()) or "none"
        return "\n".join([*said, f"refused by: {rules}", f"again with: --seed {line['seed']}"])
    if "month" in line:
        waits = f"{line['pushes']} pushes, {line['loans']} loans, {line['recoveries']} recoveries"
        return f"{line['day']}  month {line['month']} of {line['of']}: {waits}"
    refused = f" {line['rule']}: {line['detail']}" if line["rule"] else ""
    by = f"({line['by']}) " if "by" in line else ""
    return f"{line['day']}    {by}{line['event']} {line['about']}: {line['outcome']}{refused}"


class Lines:
    """What is printed: a line for a person, or a JSON object."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def tell(self, line: dict[str, Any]) -> None:
        """Print a line at once."""
        print(json.dumps(line, ensure_ascii=False) if self.as_json else in_words(line), flush=True)

    def tell_refused(self, step: Step, answer: Answer) -> None:
        """Of what others do only that is told which was not taken."""
        if answer.outcome in ("accepted", "duplicate"):
            return
        about = str(step.fields.get("loan_no") or step.fields.get("uscc") or "")
        said = {"outcome": answer.outcome, "rule": answer.rule, "detail": answer.detail}
        self.tell({"day": str(step.on), "by": step.by, "event": step.do, "about": about, **said})


def simulate(
    institution: Annotated[str, typer.Argument(help="Your institution's id, such as bank-a: a bank or other lender.")],
    credentials: Annotated[Path, typer.Option(help="Your .creds file.")] = Path("partner.creds"),
    tokens: Annotated[
        Path | None, typer.Option(help="YAML, organisation: token: yours, with --others everybody's.")
    ] = None,
    url: Annotated[str, typer.Option(help="The bus.")] = "nats://127.0.0.1:4222",
    api: Annotated[str, typer.Option(help="The gateway, where your cases and loans are read.")] = "http://127.0.0.1:8080",
    scheme: Annotated[str, typer.Option(help="The scheme, one for tests: events are kept.")] = "yanqing",
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First day, on a test clock; else every month is today."),
    ] = None,
    months: Annotated[int, typer.Option(min=1, max=60, help="How many months.")] = 12,
    enterprise: Annotated[list[str] | None, typer.Option(help="Only this code's; repeat for more.")] = None,
    others: Annotated[bool, typer.Option("--others", help="Play agencies and custodian too; needs --from.")] = False,
    enterprises: Annotated[int, typer.Option(min=0, max=100, help="With --others: how many are pushed to you.")] = 5,
    seed: Annotated[int | None, typer.Option(help="The same seed does the same with the same data.")] = None,
    every: Annotated[float, typer.Option(min=0, help="Seconds to wait after each event.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, the summary last.")] = False,
) -> None:
    """Play a bank through a year: its events on the bus, their receipts, a summary. Exit 0 when all had a receipt."""
    if not credentials.is_file():
        fail(f"there is no file {credentials}: the commission gives you one (docs/partners.md)")
    if others and first is None:
        fail("--others needs --from: its year must pass, on a stack that reads time from messages (as make run's does)")
    lines = Lines(as_json)

    async def run() -> bool:
        http = HttpDoor(api, scheme, given_tokens(tokens))
        bank = Bank(institution, secrets.randbelow(10_000) if seed is None else seed)
        client = await asyncio.wait_for(PartnerClient.connect(url, credentials.read_text), CONNECT_SECONDS)
        simulation = Simulation(client, http, bank, frozenset(enterprise or ()), lines.tell)
        rest = Others(http, institution, bank.seed, enterprises, lines.tell_refused) if others else None
        try:
            await simulation.year(first.date() if first else None, months, every, rest)
        finally:
            lines.tell(simulation.summary())
            await client.close()
            await http.close()
        return simulation.passed

    try:
        passed = asyncio.run(run())
    except (StoryError, DoorError) as error:
        fail(str(error))
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        fail(f"no way in at {url}: {error or 'no answer'}; are the address and the credentials right?")
    raise typer.Exit(0 if passed else 1)
