"""`riskpool partner`: institutions' credentials for the bus, issued, exchanged, ended and listed beside the gateway."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.partners.certify import certify
from riskpool.partners.simulate import simulate
from riskpool.place import find_running
from riskpool.supervisor import StackError
from riskpool.token import DEFAULT_DATA, Data, fail, in_database

app = typer.Typer(help="Institutions' credentials for the bus.", no_args_is_help=True)
app.command()(certify)
app.command()(simulate)
Institution = Annotated[str, typer.Argument(help="Id of the institution, such as bank-a.")]
SchemeOption = Annotated[str, typer.Option(help="The scheme of its agreement.")]
Note = Annotated[str, typer.Option(help="What the credentials are for; shown by list.")]
Days = Annotated[int | None, typer.Option(min=1, help="How many days they are valid; without it until ended.")]
BY = "command line"


@app.command()
def add(
    institution: Institution,
    scheme: SchemeOption = "yanqing",
    note: Note = "",
    days: Days = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Issue credentials and print them as the text of a .creds file; they are not shown again."""
    _issue(institution, scheme, note, days, data, rotate=False)


@app.command()
def rotate(
    institution: Institution,
    scheme: SchemeOption = "yanqing",
    note: Note = "",
    days: Days = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Issue new credentials and end all earlier ones at once."""
    _issue(institution, scheme, note, days, data, rotate=True)


@app.command()
def revoke(
    institution: Institution,
    identifier: Annotated[str, typer.Argument(help="The id of the credentials, from list; without it all.")] = "",
    scheme: SchemeOption = "yanqing",
    data: Data = DEFAULT_DATA,
) -> None:
    """End credentials: whoever is connected with them is cut off."""
    from services.gateway.auth import bus_access

    use_the_stacks_bus(data)
    ended = in_database(
        data, lambda connection: bus_access.revoke(connection, scheme, institution, BY, only=identifier)
    )
    if not ended:
        fail(f"{institution} has no such valid credentials: see `riskpool partner list`")
    _tell(data, institution)
    print(f"ended {' '.join(ended)}")


@app.command("list")
def list_credentials(
    scheme: Annotated[str | None, typer.Option(help="Only those of this scheme.")] = None, data: Data = DEFAULT_DATA
) -> None:
    """List credentials: id, scheme, institution, state, when issued, note. The secrets are not kept."""
    from services.gateway.auth import bus_access
    from shared.clock import Clock

    now = Clock.now()
    for row in in_database(data, lambda connection: bus_access.credentials_of(connection, scheme)):
        state = "ended" if row.revoked_at else "valid" if bus_access.is_valid(row, now) else "expired"
        issued = row.issued_at.astimezone(now.tzinfo).isoformat(timespec="seconds")
        print("\t".join((row.id, row.scheme, row.institution, state, issued, row.note)).rstrip())


def _issue(institution: str, scheme: str, note: str, days: int | None, data: Path, rotate: bool) -> None:
    from services.gateway.auth import bus_access
    from shared.clock import Clock

    expires_at = Clock.now() + timedelta(days=days) if days else None

    async def work(connection: AsyncConnection) -> str:
        if not await bus_access.has_agreement(connection, scheme, institution):
            fail(f"{institution} has no agreement in {scheme}, or it was terminated: SignAgreement comes first")
        if rotate:
            await bus_access.revoke(connection, scheme, institution, BY)
        try:
            _, told = await bus_access.issue(connection, scheme, institution, BY, note, expires_at)
        except bus_access.TooMany:
            fail(f"{institution} has {bus_access.MOST} valid credentials: end some first, see `riskpool partner list`")
        return told

    use_the_stacks_bus(data)
    told = in_database(data, work)
    _tell(data, institution)
    print(told, end="")


def use_the_stacks_bus(data: Path) -> None:
    """The bus and the gateway's keys: those of the environment, else of the stack running in ``data``."""
    if not os.environ.get("RISKPOOL_NATS_KEYS"):
        try:
            running = find_running(data)
        except StackError as error:
            fail(str(error))
        os.environ["RISKPOOL_NATS_URL"] = str(running["nats_url"])
        os.environ["RISKPOOL_NATS_REPLICAS"] = str(running["nats_replicas"])
        os.environ["RISKPOOL_NATS_CREDENTIALS"] = str(Path(running["nats_keys"]) / "gateway.creds")
        os.environ["RISKPOOL_NATS_KEYS"] = str(running["nats_keys"])


def _tell(data: Path, institution: str) -> None:
    from services.gateway.auth.bus_access import BusAccess
    from shared.messaging.bus import Bus, ServiceUnavailable, connect

    async def tell(connection: AsyncConnection) -> None:
        access = BusAccess.from_environment()
        try:
            async with asyncio.timeout(15):
                client = await connect("riskpool-partner", "gateway")
                try:
                    await access.tell(connection, Bus(client), institution)
                finally:
                    await client.close()
        except (ServiceUnavailable, TimeoutError):
            typer.echo("riskpool: the bus does not answer; the gateway tells it as soon as it does", err=True)
        finally:
            await access.close()

    in_database(data, tell)
