"""`riskpool user`: people who sign in to the console, added, listed, given a new password, disabled."""

from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from riskpool.supervisor import StackError
from riskpool.token import DEFAULT_DATA, Data, fail, in_database
from shared.contracts.base import Id

app = typer.Typer(help="People who sign in to the console.", no_args_is_help=True)
Login = Annotated[str, typer.Argument(help="The name that the person signs in with.")]


@app.command()
def add(
    login: Login,
    organisation: Annotated[str, typer.Option(help="Id of the agency or institution, or operator.")],
    role: Annotated[list[str], typer.Option(help="officer, head, auditor or admin; repeat for several.")],
    scheme: Annotated[str, typer.Option(help="The scheme.")] = "yanqing",
    name: Annotated[str, typer.Option(help="The person's name; the login without it.")] = "",
    provider_only: Annotated[
        bool, typer.Option("--provider-only", help="No password: the person comes from the identity provider.")
    ] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Add a person, or a membership to one who is known; a new password is printed and must be changed at once."""
    from services.gateway.auth import passwords, people
    from services.gateway.auth.permissions import ROLES
    from services.gateway.auth.signin import normal

    wanted = normal(login)
    if not people.LOGIN.fullmatch(wanted):
        fail(f"{login!r} cannot be a login: small letters, digits, . _ @ and -, at most 64")
    if unknown := sorted(set(role) - set(ROLES)):
        fail(f"there is no role {', '.join(unknown)}: choose from {', '.join(ROLES)}")
    try:
        TypeAdapter(Id).validate_python(organisation)
    except ValidationError:
        fail(f"{organisation!r} is not the id of an organisation: letters, digits, - and _")
    password = None if provider_only else passwords.made()

    async def work(connection: AsyncConnection) -> bool:
        known = await people.account_of(connection, wanted)
        account = known.id if known else await people.add(connection, wanted, name or wanted, password)
        await people.set_roles(connection, str(account), scheme, organisation, role)
        return known is None

    if not in_database(data, work):
        print(f"{wanted} is known already and now also: {', '.join(role)} of {organisation} in {scheme}")
    elif password:
        print(f"password {password}")


@app.command("list")
def list_users(
    scheme: Annotated[str | None, typer.Option(help="Only people of this scheme.")] = None, data: Data = DEFAULT_DATA
) -> None:
    """List people: login, scheme, organisation, roles, state, name."""
    from services.gateway.auth import people
    from shared.clock import Clock

    now = Clock.now()
    for one in in_database(data, lambda connection: people.everybody(connection, scheme)):
        locked = one.locked_until is not None and one.locked_until > now
        state = "disabled" if one.disabled_at else "locked" if locked else "initial" if one.must_change else "in use"
        print("\t".join((one.login, one.scheme, one.organisation, ",".join(one.roles) or "-", state, one.name)))


@app.command()
def reset(login: Login, data: Data = DEFAULT_DATA) -> None:
    """Give a person a new password, lift a lock and end every open session; the password is printed once."""
    from services.gateway.auth import people
    from shared.clock import Clock

    async def work(connection: AsyncConnection) -> str:
        return await people.reset_password(connection, await _known(connection, login), Clock.now())

    print(f"password {in_database(data, work)}")


@app.command()
def disable(
    login: Login,
    again: Annotated[bool, typer.Option("--enable", help="Let the person in again instead.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Let a person in no more and end every open session."""
    from services.gateway.auth import people
    from shared.clock import Clock

    async def work(connection: AsyncConnection) -> None:
        account = await _known(connection, login)
        await (people.enable(connection, account) if again else people.disable(connection, account, Clock.now()))

    in_database(data, work)
    print(f"{'enabled' if again else 'disabled'} {login}")


async def _known(connection: AsyncConnection, login: str) -> str:
    from services.gateway.auth import people
    from services.gateway.auth.signin import normal

    found = await people.account_of(connection, normal(login))
    if found is None:
        raise StackError(f"there is no user {login}: see `riskpool user list`")
    return str(found.id)
