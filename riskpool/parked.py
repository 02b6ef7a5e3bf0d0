"""`riskpool parked`: messages that could not be read or handled; looked at, handled again, or discarded."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from riskpool.partners.command import use_the_stacks_bus
from riskpool.services import SERVICES
from riskpool.token import DEFAULT_DATA, Data, fail

app = typer.Typer(help="Messages that could not be read or handled.", no_args_is_help=True)
ServiceName = Annotated[str, typer.Argument(help=f"The service: {', '.join(SERVICES)}.")]
Identifier = Annotated[str, typer.Argument(help="The message's id, from list.")]
ASK_SECONDS = 10.0
WORDS = {
    "unknown": "there is no such message: see `riskpool parked list --all`",
    "settled": "it was settled before: see `riskpool parked list --all`",
    "answered": "its partner was told that it is unreadable, and sends it again under a new id; discard it",
}


@app.command("list")
def list_parked(
    settled: Annotated[bool, typer.Option("--all", help="Also those that were settled.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """List them: service, id, when, state, subject, error."""
    for name in SERVICES:
        for one in _ask(data, name, do="list", all=settled)["items"]:
            state = one["settlement"] or "waits"
            print("\t".join((name, one["id"], str(one["parked_at"])[:19], state, one["subject"], one["error"])))


@app.command()
def show(service: ServiceName, identifier: Identifier, data: Data = DEFAULT_DATA) -> None:
    """Show all that is kept of one: headers, error, trace and, last, its bytes."""
    told = _ask(data, service, do="show", id=identifier)
    body = base64.b64decode(told.pop("body_base64"))
    for name, value in told.items():
        print(f"{name}: {value}")
    print(f"bytes:\n{body.decode(errors='backslashreplace')}")


@app.command()
def replay(service: ServiceName, identifier: Identifier, data: Data = DEFAULT_DATA) -> None:
    """Handle a service's event again, exactly once; it stays parked when it fails again."""
    _ask(data, service, do="replay", id=identifier, by="command line")
    print(f"replayed {identifier}")


@app.command()
def discard(
    service: ServiceName,
    identifier: Identifier,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Settle one that is not to be handled; its bytes stay."""
    if not reason.strip():
        fail("say why, with --reason")
    _ask(data, service, do="discard", id=identifier, by="command line", reason=reason.strip())
    print(f"discarded {identifier}")


def _ask(data: Path, name: str, **asked: Any) -> dict[str, Any]:
    from shared.messaging.bus import AnswerTimeout, Bus, ServiceUnavailable, connect

    if name not in SERVICES:
        fail(f"{name!r} is no service: {', '.join(SERVICES)}")
    use_the_stacks_bus(data)

    async def ask() -> dict[str, Any]:
        client = await connect("riskpool-parked", "gateway")
        try:
            return await Bus(client).request(f"parked.{name}", json.dumps(asked).encode(), ASK_SECONDS)
        finally:
            await client.close()

    try:
        told = asyncio.run(asyncio.wait_for(ask(), ASK_SECONDS + 5))
    except (ServiceUnavailable, AnswerTimeout, TimeoutError):
        fail(f"{name} does not answer")
    if refused := told.get("refused"):
        fail(WORDS.get(refused, told.get("problem", refused)))
    return told
