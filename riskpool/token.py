"""`riskpool token`: bearer tokens of organisations, made, listed and revoked in the gateway's database."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from riskpool.place import find_running
from riskpool.supervisor import StackError
from shared.database import address_in

T = TypeVar("T")
app = typer.Typer(help="Bearer tokens of organisations.", no_args_is_help=True)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Data = Annotated[Path, typer.Option(help="Data directory of the running stack, unless RISKPOOL_DATABASE_URL is set.")]
SchemeOption = Annotated[str, typer.Option(help="The scheme the token is for.")]
DEFAULT_DATA = Path(".riskpool")


@app.command()
def create(
    organisation: Annotated[str, typer.Argument(help="Id of the agency or institution, such as drc or bank-a.")],
    scheme: SchemeOption = "yanqing",
    note: Annotated[str, typer.Option(help="What the token is for; shown by list.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, help="How many days it is valid; without it until revoked.")
    ] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Make a token and print it; it is not shown again."""
    from services.gateway.auth import tokens
    from shared.clock import Clock

    if not _ID.fullmatch(organisation):
        fail(f"{organisation!r} is not the id of an organisation: letters, digits, - and _")
    expires_at = Clock.now() + timedelta(days=days) if days else None
    _, token = in_database(data, lambda connection: tokens.create(connection, scheme, organisation, note, expires_at))
    print(token)


@app.command("list")
def list_tokens(
    scheme: Annotated[str | None, typer.Option(help="Only tokens of this scheme.")] = None, data: Data = DEFAULT_DATA
) -> None:
    """List tokens: id, scheme, organisation, state, when made, note. The tokens themselves are not kept."""
    from services.gateway.auth import tokens
    from shared.clock import Clock

    now = Clock.now()
    for row in in_database(data, lambda connection: tokens.all_tokens(connection, scheme)):
        expired = row.expires_at is not None and row.expires_at <= now
        state = "revoked" if row.revoked_at else "expired" if expired else "valid"
        made = row.created_at.astimezone(now.tzinfo).isoformat(timespec="seconds")
        print("\t".join((row.id, row.scheme, row.organisation, state, made, row.note)).rstrip())


@app.command()
def revoke(
    identifier: Annotated[str, typer.Argument(help="The token's id, from list.")], data: Data = DEFAULT_DATA
) -> None:
    """End a token at once."""
    from services.gateway.auth import tokens
    from shared.clock import Clock

    if not in_database(data, lambda connection: tokens.revoke(connection, identifier, Clock.now())):
        fail(f"there is no valid token {identifier}: see `riskpool token list`")
    print(f"revoked {identifier}")


def database_url(data: Path) -> str:
    """The gateway's database: RISKPOOL_DATABASE_URL, else that of the stack running in ``data``, else StackError."""
    return address_in("RISKPOOL_DATABASE_URL") or str(find_running(data)["databases"]["gateway"])


def in_database(data: Path, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Do some work in one transaction of the gateway's database; what goes wrong is said in words, exit code 1."""

    async def in_transaction() -> T:
        engine = create_async_engine(database_url(data))
        try:
            async with engine.begin() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(in_transaction())
    except (StackError, SQLAlchemyError, OSError) as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with exit code 1."""
    typer.echo(f"riskpool: {message}", err=True)
    raise typer.Exit(1)
