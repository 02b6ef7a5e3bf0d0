"""Sessions of persons: an opaque cookie whose SHA-256 alone is kept, idle and absolute limits, list and end."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from sqlalchemy import Row, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.auth.callers import Caller, refuse_nul
from services.gateway.auth.settings import SignInSettings
from services.gateway.auth.tokens import sha256_of
from services.gateway.queries.organisations import kind_without_agreement
from services.gateway.reads import reads_of
from services.gateway.tables import accounts, business_days, event_positions, memberships, sessions
from shared.clock import business_date
from shared.messaging.service import Service
from shared.messaging.tables import institutions

SEEN_EVERY = timedelta(minutes=1)
KEPT = timedelta(days=90)
CHANGE_PASSWORD = "/account/password"
SIGN_IN = "/sign-in"
_ALIVE = (
    sessions.c.ended_at.is_(None),
    sessions.c.seen_at > bindparam("seen_after"),
    sessions.c.began_at > bindparam("began_after"),
)
_PERSON = sessions.join(accounts, accounts.c.id == sessions.c.account).join(
    memberships, and_(*(memberships.c[name] == sessions.c[name] for name in ("account", "scheme", "organisation")))
)
_AGREED = and_(institutions.c.scheme == sessions.c.scheme, institutions.c.id == sessions.c.organisation)
_DAYS = business_days.c.scheme == sessions.c.scheme
_SIGNED_IN = (
    select(
        *(sessions.c[name] for name in ("account", "scheme", "organisation", "seen_at")),
        *(accounts.c[name] for name in ("login", "name", "must_change")),
        accounts.c.password_hash.is_not(None).label("has_password"),
        memberships.c.roles,
        select(institutions.c.kind).where(_AGREED).scalar_subquery().label("kind"),
        select(func.max(business_days.c.date)).where(_DAYS).scalar_subquery().label("today"),
        select(func.max(event_positions.c.last)).scalar_subquery().label("position"),
    )
    .select_from(_PERSON)
    .where(
        sessions.c.sha256 == bindparam("cookie"),
        *_ALIVE,
        accounts.c.disabled_at.is_(None),
        func.cardinality(memberships.c.roles) > 0,
    )
)
# Pages that a person who must first choose a password may still reach.
_BEFORE_CHANGE = (CHANGE_PASSWORD, "/sign-out")


@dataclass(frozen=True)
class Session:
    """One signed-in person in one organisation of one scheme, and how far the books were when the request came.

    ``kind`` is that of an institution with an agreement, ``position`` that of the newest event of all.
    """

    account: str
    login: str
    name: str
    scheme: str
    organisation: str
    roles: frozenset[str]
    must_change: bool
    has_password: bool
    seen_at: datetime
    kind: str
    today: date
    position: int


async def begin(
    connection: AsyncConnection, account: str, scheme: str, organisation: str, agent: str, now: datetime
) -> str:
    """A new session's cookie; it is always a new one, so nobody can plant it before the sign-in."""
    token = secrets.token_urlsafe(32)
    old = and_(sessions.c.account == account, sessions.c.began_at < now - KEPT)
    await connection.execute(delete(sessions).where(old))
    row = {"account": account, "scheme": scheme, "organisation": organisation, "agent": agent[:200]}
    await connection.execute(
        insert(sessions).values(sha256=sha256_of(token), **row, began_at=now, seen_at=now, ended_at=None)
    )
    return token


async def session_of(
    connection: AsyncConnection, token: str, now: datetime, settings: SignInSettings
) -> Session | None:
    """The person of a cookie, or None when it is unknown, ended, idle or too old, or the person's right has gone."""
    wanted = {"cookie": sha256_of(token), **_limits(now, settings)}
    row = (await connection.execute(_SIGNED_IN, wanted)).one_or_none()
    if row is None:
        return None
    found = {**row._mapping, "roles": frozenset(row.roles), "kind": row.kind or "", "position": row.position or 0}
    return Session(**{**found, "today": row.today or business_date(now)})


def _limits(now: datetime, settings: SignInSettings) -> dict[str, datetime]:
    return {"seen_after": now - settings.idle, "began_after": now - settings.lifetime}


async def see(connection: AsyncConnection, token: str, now: datetime) -> None:
    """The person is at work: the idle limit counts from here."""
    await connection.execute(update(sessions).where(sessions.c.sha256 == sha256_of(token)).values(seen_at=now))


async def own_sessions(
    connection: AsyncConnection, account: str, now: datetime, settings: SignInSettings
) -> Sequence[Row[Any]]:
    """A person's sessions that are still open, newest first."""
    query = select(sessions).where(sessions.c.account == account, *_ALIVE).order_by(sessions.c.began_at.desc())
    return (await connection.execute(query, _limits(now, settings))).all()


async def end(connection: AsyncConnection, account: str, now: datetime, *, digest: bytes | None = None) -> int:
    """End one of a person's sessions by its hash, or all of them; how many were ended."""
    ended = update(sessions).where(sessions.c.account == account, sessions.c.ended_at.is_(None))
    if digest is not None:
        ended = ended.where(sessions.c.sha256 == digest)
    return (await connection.execute(ended.values(ended_at=now))).rowcount


async def end_others(connection: AsyncConnection, account: str, token: str, now: datetime) -> None:
    """End all sessions of a person but the one of this cookie."""
    others = update(sessions).where(sessions.c.account == account, sessions.c.ended_at.is_(None))
    await connection.execute(others.where(sessions.c.sha256 != sha256_of(token)).values(ended_at=now))


async def end_cookie(connection: AsyncConnection, token: str, now: datetime) -> None:
    """End the session of a cookie."""
    ended = update(sessions).where(sessions.c.sha256 == sha256_of(token), sessions.c.ended_at.is_(None))
    await connection.execute(ended.values(ended_at=now))


def is_secure(request: Request, settings: SignInSettings) -> bool:
    """Whether the person reaches us over https, so that the cookie may be bound to it."""
    return request.url.scheme == "https" or settings.public_url.startswith("https:")


def cookie_of(request: Request, settings: SignInSettings) -> str:
    """The session's cookie as it came, empty without one."""
    return request.cookies.get(_cookie_name(request, settings), "")


def set_cookie(answer: Response, request: Request, settings: SignInSettings, token: str) -> None:
    """Hand out a session. Lax, not Strict: the identity provider sends the person back from another site."""
    secure = is_secure(request, settings)
    answer.set_cookie(
        _cookie_name(request, settings), token, path="/", secure=secure, httponly=True, samesite="lax"
    )


def drop_cookie(answer: Response, request: Request, settings: SignInSettings) -> None:
    """Take the cookie back."""
    name = _cookie_name(request, settings)
    answer.delete_cookie(name, path="/", secure=is_secure(request, settings), httponly=True, samesite="lax")


def _cookie_name(request: Request, settings: SignInSettings) -> str:
    return "__Host-riskpool" if is_secure(request, settings) else "riskpool"


async def person_of(service: Service, request: Request, settings: SignInSettings) -> Session | None:
    """Who sent a request; the idle limit is pushed on by what a person asks for, not by a page that looks for news."""
    token, now = cookie_of(request, settings), service.clock.now()
    if not token:
        return None
    async with reads_of(service.engine).connect() as connection:
        session = await session_of(connection, token, now, settings)
    if session is None or session.scheme not in service.schemes:
        return None
    asked_by_page = request.url.path == "/live" or request.headers.get("x-requested-with") == "live"
    if now - session.seen_at >= SEEN_EVERY and not asked_by_page:
        async with service.engine.begin() as connection:
            await see(connection, token, now)
    return session


async def is_signed_in(service: Service, request: Request) -> bool:
    """Whether the session of an open stream still holds."""
    settings = SignInSettings.from_environment()
    token = cookie_of(request, settings)
    async with reads_of(service.engine).connect() as connection:
        return bool(token) and await session_of(connection, token, service.clock.now(), settings) is not None


def signed_in(service: Service) -> Callable[[Request], Awaitable[Caller]]:
    """The dependency of every page: a signed-in person who has chosen a password of their own, else off to do so."""
    settings = SignInSettings.from_environment()

    async def caller(request: Request) -> Caller:
        session = await person_of(service, request, settings)
        if session is None:
            raise Problem(401, "signin", "needed", headers={"Location": _sign_in_and_back(request)})
        if session.must_change and request.url.path not in _BEFORE_CHANGE:
            raise Problem(403, "signin", "must_change", headers={"Location": CHANGE_PASSWORD})
        refuse_nul(request)
        found = _caller(service, session)
        request.state.caller, request.state.session = found, session
        return found

    return caller


def _caller(service: Service, session: Session) -> Caller:
    scheme = service.schemes[session.scheme]
    kind = kind_without_agreement(scheme, session.organisation) or session.kind
    return Caller(scheme, session.organisation, kind, session.roles, session.account, session.name)


def _sign_in_and_back(request: Request) -> str:
    if request.method not in ("GET", "HEAD") or request.url.path == "/":
        return SIGN_IN
    back = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return f"{SIGN_IN}?next={quote(back, safe='/')}"
