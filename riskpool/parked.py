"""`riskpool parked`: messages that could not be read or handled; looked at, handled again, or discarded."""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from riskpool.partners.command import use_the_stacks_bus
from riskpool.services import SERVICES
from riskpool.token import DEFAULT_DATA, Data, fail

app = typer.Typer(help="Messages that could not be read or handled.", no_args_is_help=True)
ServiceName = Annotated[str, typer.Argument(help=f"The service: {', '.join(SERVICES)}.")]
Identifier = Annotated[str, typer.Argument(help="The message's id, from list.")]
Institution = Annotated[str, typer.Option(help="Only what this institution sent.")]
Consumer = Annotated[str, typer.Option(help="Only of this consumer: events, receipts.")]
SHOWN_BYTES = 65_536
ASK_SECONDS = 10.0
WORDS = {
    "unknown": "there is no such message: see `riskpool parked list --all`",
    "settled": "it was settled before: see `riskpool parked list --all`",
    "answered": "its partner was told that it is unreadable, and sends it again under a new id; discard it",
}


@app.command("list")
def list_parked(
    settled: Annotated[bool, typer.Option("--all", help="Also those that were settled.")] = False,
    institution: Institution = "",
    consumer: Consumer = "",
    most: Annotated[int, typer.Option(min=1, help="At most so many of each service, the newest.")] = 200,
    data: Data = DEFAULT_DATA,
) -> None:
    """List them: service, id, when, state, subject, error; long texts are cut."""
    asked = {"do": "list", "all": settled, "consumer": _consumer(institution, consumer)}
    for name in SERVICES:
        before, left, more = None, most, True
        while more and left:
            told = _ask(data, name, **asked, limit=left, before=before)
            for one in told["items"]:
                state = one["settlement"] or "waits"
                print("\t".join((name, one["id"], str(one["parked_at"])[:19], state, one["subject"], one["error"])))
                before = (one["parked_at"], one["id"])
            left, more = left - len(told["items"]), told["more"]
        if more:
            print(f"{name} has more: --most, --institution or --consumer", file=sys.stderr)


@app.command()
def show(
    service: ServiceName,
    identifier: Identifier,
    save: Annotated[Path | None, typer.Option(help="Write all of its bytes to this new file.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Show all that is kept of one: headers, error, trace and, last, its bytes; of many bytes the first, or --save."""
    told = _ask(data, service, do="show", id=identifier)
    size, body = told["bytes"], base64.b64decode(told.pop("body_base64"))
    for name, value in told.items():
        if name not in ("offset", "headers_left_out"):
            print(f"{name}: {value}")
    if told["headers_left_out"]:
        print(f"and {told['headers_left_out']} more headers")
    if save is None:
        cut = f" (the first {SHOWN_BYTES} of {size}; all of them with --save FILE)" if size > SHOWN_BYTES else ""
        print(f"bytes{cut}:\n{body[:SHOWN_BYTES].decode(errors='backslashreplace')}")
        return
    try:
        with os.fdopen(os.open(save, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(body)
            while file.tell() < size:
                more = _ask(data, service, do="show", id=identifier, offset=file.tell())
                file.write(base64.b64decode(more["body_base64"]))
    except OSError as error:
        fail(f"{save} is not written: {error.strerror}")
    print(f"{size} bytes are in {save}")


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


@app.command("discard-all")
def discard_all(
    reason: Annotated[str, typer.Option(help="Why; it is kept with each.")],
    institution: Institution = "",
    consumer: Consumer = "",
    service: Annotated[str, typer.Option(help=f"Of this service alone: {', '.join(SERVICES)}.")] = "",
    data: Data = DEFAULT_DATA,
) -> None:
    """Settle all that waits of an institution, or of a consumer, as not to be handled; the bytes stay."""
    if not reason.strip():
        fail("say why, with --reason")
    if bool(institution) == bool(consumer):
        fail("say whose: either --institution or --consumer")
    asked = {"consumer": _consumer(institution, consumer), "by": "command line", "reason": reason.strip()}
    for name in [service] if service else SERVICES:
        number, more = 0, True
        while more:
            told = _ask(data, name, do="discard_many", **asked)
            number, more = number + told["discarded"], told["more"]
        print(f"discarded {number} of {name}")


def _consumer(institution: str, consumer: str) -> str:
    return f"partner-{institution}" if institution else consumer


def _ask(data: Path, name: str, **asked: Any) -> dict[str, Any]:
    from shared.messaging.bus import AnswerTimeout, Bus, ServiceUnavailable, connect

    if name not in SERVICES:
        fail(f"{name!r} is no service: {', '.join(SERVICES)}")
    use_the_stacks_bus(data)

    async def ask() -> dict[str, Any]:
        async with asyncio.timeout(ASK_SECONDS + 5):
            client = await connect("riskpool-parked", "gateway")
            try:
                return await Bus(client).request(f"parked.{name}", json.dumps(asked).encode(), ASK_SECONDS)
            finally:
                await client.close()

    try:
        told = asyncio.run(ask())
    except (ServiceUnavailable, AnswerTimeout, TimeoutError):
        fail(f"{name} does not answer")
    if refused := told.get("refused"):
        fail(WORDS.get(refused, told.get("problem", refused)))
    return told
