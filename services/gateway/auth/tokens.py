"""Opaque bearer tokens of organisations: random, shown once, kept as their SHA-256 only."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.tables import tokens

PREFIX = "rp_"


@dataclass(frozen=True)
class Holder:
    """Whom a valid token stands for."""

    scheme: str
    organisation: str


def sha256_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def create(
    connection: AsyncConnection, scheme: str, organisation: str, note: str = "", expires_at: datetime | None = None
) -> tuple[str, str]:
    """A new token's id and text; the text is never shown again."""
    identifier, token = secrets.token_hex(6), PREFIX + secrets.token_urlsafe(32)
    await connection.execute(
        insert(tokens).values(
            id=identifier,
            scheme=scheme,
            organisation=organisation,
            sha256=sha256_of(token),
            note=note,
            expires_at=expires_at,
        )
    )
    return identifier, token


async def holder_of(connection: AsyncConnection, token: str, now: datetime) -> Holder | None:
    """Whom a token stands for, or None when it is unknown, revoked or expired."""
    query = select(tokens.c.scheme, tokens.c.organisation).where(
        tokens.c.sha256 == sha256_of(token),
        tokens.c.revoked_at.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
    )
    row = (await connection.execute(query)).one_or_none()
    return Holder(row.scheme, row.organisation) if row else None


async def all_tokens(
    connection: AsyncConnection, scheme: str | None = None, organisation: str | None = None
) -> Sequence[Row[Any]]:
    """Tokens by organisation, without their hashes."""
    shown = [column for column in tokens.c if column.name != "sha256"]
    query = select(*shown).order_by(tokens.c.scheme, tokens.c.organisation, tokens.c.created_at)
    if scheme is not None:
        query = query.where(tokens.c.scheme == scheme)
    if organisation is not None:
        query = query.where(tokens.c.organisation == organisation)
    return (await connection.execute(query)).all()


async def revoke(
    connection: AsyncConnection, identifier: str, now: datetime, holder: Holder | None = None
) -> bool:
    """End a token at once, of one holder only when given; False when there is none or it was revoked before."""
    ended = update(tokens).where(tokens.c.id == identifier, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    if holder is not None:
        ended = ended.where(tokens.c.scheme == holder.scheme, tokens.c.organisation == holder.organisation)
    return bool((await connection.execute(ended.returning(tokens.c.id))).one_or_none())
