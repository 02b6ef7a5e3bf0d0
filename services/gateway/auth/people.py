"""Accounts and what they are in organisations: made, changed, disabled; every password made here is used once."""

import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth import passwords, sessions
from services.gateway.auth.permissions import ROLES
from services.gateway.tables import accounts, memberships
from services.gateway.tables import sessions as session_table

LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


async def add(
    connection: AsyncConnection, login: str, name: str, password: str | None, *, must_change: bool = True
) -> str | None:
    """A new account's id, or None when the login is taken; without a password it signs in by the provider only."""
    identifier = secrets.token_hex(8)
    hashed = await passwords.hash_of(password) if password else None
    row = {"id": identifier, "login": login, "name": name, "password_hash": hashed}
    made = insert(accounts).values(**row, must_change=must_change and password is not None)
    untaken = made.on_conflict_do_nothing(index_elements=["login"]).returning(accounts.c.id)
    found: str | None = (await connection.execute(untaken)).scalar_one_or_none()
    return found


async def account_of(connection: AsyncConnection, login: str) -> Row[Any] | None:
    """An account by its login."""
    return (await connection.execute(select(accounts).where(accounts.c.login == login))).one_or_none()


async def set_roles(
    connection: AsyncConnection, account: str, scheme: str, organisation: str, roles: Iterable[str]
) -> None:
    """What an account is in an organisation from now on; nothing at all without roles."""
    chosen = set(roles)
    row = {"account": account, "scheme": scheme, "organisation": organisation}
    ordered = [role for role in ROLES if role in chosen]
    write = insert(memberships).values(**row, roles=ordered)
    await connection.execute(write.on_conflict_do_update(index_elements=list(row), set_={"roles": ordered}))


async def reset_password(connection: AsyncConnection, account: str, now: datetime) -> str:
    """A new password to sign in with once; open sessions end and a lock is lifted."""
    password = passwords.made()
    await set_password(connection, account, password, now, must_change=True)
    return password


async def set_password(
    connection: AsyncConnection, account: str, password: str, now: datetime, *, must_change: bool = False
) -> None:
    """Keep a password's hash and end every session that began with the old one."""
    values = {"password_hash": await passwords.hash_of(password), "must_change": must_change}
    changed = update(accounts).where(accounts.c.id == account)
    await connection.execute(changed.values(**values, failures=0, locked_until=None))
    await sessions.end(connection, account, now)


async def disable(connection: AsyncConnection, account: str, now: datetime) -> None:
    """Nobody signs in with the account any more; open sessions end."""
    await connection.execute(update(accounts).where(accounts.c.id == account).values(disabled_at=now))
    await sessions.end(connection, account, now)


async def enable(connection: AsyncConnection, account: str) -> None:
    """The account may be used again."""
    values = {"disabled_at": None, "failures": 0, "locked_until": None}
    await connection.execute(update(accounts).where(accounts.c.id == account).values(**values))


async def people_of(connection: AsyncConnection, scheme: str, organisation: str) -> Sequence[Row[Any]]:
    """Everybody with a role in an organisation, by login; ``only_here`` when they have none elsewhere."""
    other = memberships.alias()
    elsewhere = select(other.c.account).where(
        other.c.account == accounts.c.id,
        func.cardinality(other.c.roles) > 0,
        (other.c.scheme != scheme) | (other.c.organisation != organisation),
    )
    last = select(func.max(session_table.c.began_at)).where(session_table.c.account == accounts.c.id).scalar_subquery()
    query = (
        select(accounts, memberships.c.roles, last.label("last_at"), (~elsewhere.exists()).label("only_here"))
        .join(memberships, and_(memberships.c.account == accounts.c.id, memberships.c.scheme == scheme))
        .where(memberships.c.organisation == organisation, func.cardinality(memberships.c.roles) > 0)
    )
    return (await connection.execute(query.order_by(accounts.c.login))).all()


async def everybody(connection: AsyncConnection, scheme: str | None) -> Sequence[Row[Any]]:
    """Every membership with its account, by organisation and login."""
    query = select(accounts, memberships.c.scheme, memberships.c.organisation, memberships.c.roles).join(
        memberships, memberships.c.account == accounts.c.id
    )
    if scheme is not None:
        query = query.where(memberships.c.scheme == scheme)
    order = (memberships.c.scheme, memberships.c.organisation, accounts.c.login)
    return (await connection.execute(query.order_by(*order))).all()
