"""Signing in with a name and a password: same work for every name, locked after five failures, all of it recorded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, desc, func, insert, nulls_last, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.auth import passwords, sessions
from services.gateway.auth.throttle import Throttle
from services.gateway.tables import accounts, actions, memberships
from services.gateway.tables import sessions as session_table
from shared.messaging.service import Service

FAILURES_UNTIL_LOCK: Final = 5
FIRST_LOCK: Final = timedelta(minutes=15)
LONGEST_LOCK: Final = timedelta(hours=4)


@dataclass(frozen=True)
class SignedIn:
    """The new session's cookie, and whether a password must be chosen before anything else."""

    cookie: str
    must_change: bool


@dataclass
class SignIn:
    """The door for persons; one in a process."""

    service: Service
    throttle: Throttle = field(default_factory=Throttle)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(passwords.AT_ONCE))

    async def with_password(self, login: str, password: str, address: str, agent: str) -> SignedIn:
        """A session for a name and its password; Problem 401, the same for every cause, or 429."""
        now = self.service.clock.now()
        if left := self.throttle.wait(address, now):
            minutes = str(int(left.total_seconds() // 60) + 1)
            raise Problem(429, "signin", "too_many", {"minutes": minutes}, headers={"Retry-After": str(left.seconds)})
        # The row stays locked while the hash is worked out: guesses at one name come one after another, on any replica.
        async with self._slots, self.service.engine.begin() as connection:
            account = await _account(connection, login)
            right = await passwords.matches(password, account.password_hash if account else None)
            if account is not None and right and _may_sign_in(account, now):
                return await self.begin(connection, account, agent, now)
            await _note_failure(connection, account, right, now)
        self.throttle.failed(address, now)
        raise Problem(401, "signin", "failed")

    async def confirm(self, login: str, password: str) -> None:
        """Problem 401 unless it is this person's password; failures count like failed sign-ins."""
        now = self.service.clock.now()
        async with self._slots, self.service.engine.begin() as connection:
            account = await _account(connection, login)
            right = await passwords.matches(password, account.password_hash if account else None)
            if account is not None and right and _may_sign_in(account, now):
                return
            await _note_failure(connection, account, right, now)
        raise Problem(401, "signin", "wrong_password")

    async def with_identity(self, login: str, agent: str) -> SignedIn:
        """A session for a login that the identity provider vouches for; it never makes an account."""
        now = self.service.clock.now()
        async with self.service.engine.begin() as connection:
            account = await _account(connection, login)
            if account is not None and account.disabled_at is None:
                return await self.begin(connection, account, agent, now)
            await note(connection, account, "refused", now)
        raise Problem(403, "signin", "no_account", {"login": login[:64]})

    async def begin(self, connection: AsyncConnection, account: Row[Any], agent: str, now: datetime) -> SignedIn:
        """A session in the organisation the person last worked for; Problem 403 when there is none left."""
        held = await memberships_of(connection, account.id)
        chosen = next((one for one in held if one.scheme in self.service.schemes), None)
        if chosen is None:
            raise Problem(403, "signin", "no_membership")
        await connection.execute(
            update(accounts).where(accounts.c.id == account.id).values(failures=0, locked_until=None)
        )
        cookie = await sessions.begin(connection, account.id, chosen.scheme, chosen.organisation, agent, now)
        await note(connection, account, "accepted", now, chosen)
        return SignedIn(cookie, account.must_change)


async def _account(connection: AsyncConnection, login: str) -> Row[Any] | None:
    query = select(accounts).where(accounts.c.login == normal(login)).with_for_update()
    return (await connection.execute(query)).one_or_none()


def normal(login: str) -> str:
    """A login as it is kept: without capitals and blanks around it."""
    return login.strip().lower()[:100]


def _may_sign_in(account: Row[Any], now: datetime) -> bool:
    return account.disabled_at is None and not _locked(account, now)


def _locked(account: Row[Any], now: datetime) -> bool:
    return account.locked_until is not None and account.locked_until > now


async def _note_failure(connection: AsyncConnection, account: Row[Any] | None, right: bool, now: datetime) -> None:
    """Count a wrong password; a locked account is not locked for longer by further guesses."""
    if account is not None and not right and not _locked(account, now):
        failures = account.failures + 1
        over = failures - FAILURES_UNTIL_LOCK
        locked = now + min(FIRST_LOCK * 2 ** min(over, 10), LONGEST_LOCK) if over >= 0 else None
        counted = update(accounts).where(accounts.c.id == account.id).values(failures=failures, locked_until=locked)
        await connection.execute(counted)
    await note(connection, account, "refused", now)


async def memberships_of(connection: AsyncConnection, account: str) -> Sequence[Row[Any]]:
    """What a person is and where, first where the person signed in last."""
    table = session_table
    last = (
        select(func.max(table.c.began_at))
        .where(*(table.c[name] == memberships.c[name] for name in ("account", "scheme", "organisation")))
        .scalar_subquery()
    )
    query = select(memberships).where(memberships.c.account == account, func.cardinality(memberships.c.roles) > 0)
    order = (nulls_last(desc(last)), memberships.c.scheme, memberships.c.organisation)
    return (await connection.execute(query.order_by(*order))).all()


async def note(
    connection: AsyncConnection, account: Row[Any] | None, outcome: str, now: datetime, where: Row[Any] | None = None
) -> None:
    """A sign-in for the record; an unknown name is not kept, for people type passwords into the wrong field."""
    if account is not None and where is None:
        where = next(iter(await memberships_of(connection, account.id)), None)
    row = {
        "at": now,
        "scheme": where.scheme if where else "",
        "organisation": where.organisation if where else "",
        "account": account.id if account else None,
        "action": "sign-in",
        "about": account.login if account else "",
        "outcome": outcome,
        "rule": None if outcome == "accepted" else "signin",
    }
    await connection.execute(insert(actions).values(**row))
