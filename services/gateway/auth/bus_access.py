"""Partners' access to the bus: an account in each scheme that an institution has an agreement in, and its credentials.

The database says who may; the server is told, and told again whenever it says otherwise. Credentials are shown once.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError
from sqlalchemy import Row, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import agreements
from services.gateway.tables import bus_credentials
from shared.clock import Clock
from shared.messaging.accounts import FUND, SIGNING, SYSTEM, partner_claim, partner_credentials
from shared.messaging.bus import Bus, ServiceUnavailable, connect, nats_servers
from shared.messaging.nkeys import ACCOUNT, key_of, new_key
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream, ingress_stream, replicas
from shared.messaging.service import Service
from shared.messaging.unit_of_work import RECEIPTS

log = logging.getLogger("riskpool.partners")
LOOK_SECONDS = 2.0
ASK_SECONDS = 3.0
OTHERS_SECONDS = 0.5  # a node that is there answers within milliseconds
MOST = 10
_TELLING = text("select pg_advisory_xact_lock(hashtext('bus_credentials'))")


class AccountsOff(Exception):
    """The bus has no accounts here: RISKPOOL_NATS_KEYS is not set."""


class TooMany(Exception):
    """An institution has as many valid credentials as it may have."""


def keys_directory() -> Path | None:
    """The directory of ``RISKPOOL_NATS_KEYS``, None where the bus has no accounts."""
    directory = os.environ.get("RISKPOOL_NATS_KEYS")
    return Path(directory) if directory else None


# -- what the database says ------------------------------------------------------------------------------------------


async def issue(
    connection: AsyncConnection, scheme: str, institution: str, by: str, note: str, expires_at: datetime | None
) -> tuple[str, str]:
    """New credentials of an institution in a scheme: their id and their text, which is kept nowhere."""
    one_at_a_time = text("select pg_advisory_xact_lock(hashtext(:about))")
    await connection.execute(one_at_a_time, {"about": f"{scheme}/{institution}"})
    known = await credentials_of(connection, scheme, institution)
    if sum(is_valid(row, Clock.now()) for row in known) >= MOST:
        raise TooMany
    account = known[0].account if known else new_key(ACCOUNT).public
    signing, identifier = new_key(ACCOUNT), secrets.token_hex(6)
    expires = int(expires_at.timestamp()) if expires_at else None
    user, told = partner_credentials(signing, account, scheme, f"{institution} {identifier}", expires)
    row = {"id": identifier, "scheme": scheme, "institution": institution, "account": account, "user_key": user}
    values = {"signing_key": signing.public, "note": note, "issued_by": by, "expires_at": expires_at}
    await connection.execute(insert(bus_credentials).values(**row, **values))
    return identifier, told


async def revoke(
    connection: AsyncConnection, scheme: str, institution: str, by: str, only: str = ""
) -> list[str]:
    """End an institution's credentials: all of them or ``only`` one; the ids of those ended."""
    one = bus_credentials.c
    ended = update(bus_credentials).where(
        one.scheme == scheme, one.institution == institution, one.revoked_at.is_(None)
    )
    if only:
        ended = ended.where(one.id == only)
    values = {"revoked_at": Clock.now(), "revoked_by": by}
    return sorted((await connection.execute(ended.values(**values).returning(one.id))).scalars())


async def credentials_of(
    connection: AsyncConnection, scheme: str | None = None, institution: str | None = None
) -> Sequence[Row[Any]]:
    """What was issued, oldest first."""
    one = bus_credentials.c
    query = select(bus_credentials).order_by(one.scheme, one.institution, one.issued_at)
    if scheme is not None:
        query = query.where(one.scheme == scheme)
    if institution is not None:
        query = query.where(one.institution == institution)
    return (await connection.execute(query)).all()


async def end_with_agreements(connection: AsyncConnection) -> None:
    """End the credentials of institutions whose agreement was terminated, and not signed anew since."""
    one, agreed = bus_credentials.c, agreements.c
    theirs = (one.revoked_at.is_(None), agreed.scheme == one.scheme, agreed.institution == one.institution)
    query = select(one.scheme, one.institution).where(*theirs, agreed.terminated).distinct()
    for row in (await connection.execute(query)).all():
        await revoke(connection, row.scheme, row.institution, "agreement terminated")


async def has_agreement(connection: AsyncConnection, scheme: str, institution: str) -> bool:
    """Whether an institution signed an agreement that was not terminated since."""
    agreed = agreements.c
    theirs = (agreed.scheme == scheme, agreed.institution == institution)
    query = select(agreed.institution).where(*theirs, ~agreed.terminated)
    return (await connection.execute(query)).one_or_none() is not None


def is_valid(row: Row[Any], now: datetime) -> bool:
    """Whether credentials let somebody in."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


# -- what the bus is told --------------------------------------------------------------------------------------------


class BusAccess:
    """The gateway's hold on partners' accounts; ``tell`` makes the bus agree with the database.

    Every node keeps the accounts for itself and hears of a change only while it is there: one that was away would let
    in for two minutes whom the others shut out meanwhile. So each is asked what it knows.
    """

    def __init__(self, directory: Path) -> None:
        self._operator = key_of((directory / SIGNING).read_text(encoding="ascii").strip())
        self._fund = (directory / FUND).read_text(encoding="ascii").strip()
        self._credentials = directory / SYSTEM
        self._client: Client | None = None
        self._nodes = max(len(nats_servers()), replicas())

    @classmethod
    def from_environment(cls) -> "BusAccess":
        """That of ``RISKPOOL_NATS_KEYS``; AccountsOff without it."""
        directory = keys_directory()
        if directory is None:
            raise AccountsOff
        return cls(directory)

    async def tell(self, connection: AsyncConnection, bus: Bus, institution: str | None = None) -> None:
        """Let the servers, ingress streams and receipts be as the database says, of one institution or of all.

        One tells at a time, and what is told is read in its turn: who read earlier would let in again whom another has
        just shut out. ServiceUnavailable when the bus is away, or refuses somebody a stream; the others have theirs.
        """
        await connection.execute(_TELLING)
        rows = await credentials_of(connection, institution=institution)
        try:
            accounts: dict[str, dict[str, str]] = defaultdict(dict)
            valid: dict[tuple[str, str, str], list[str]] = {}
            for row in rows:
                accounts[row.institution][row.scheme] = row.account
                keys = valid.setdefault((row.account, row.scheme, row.institution), [])
                keys += [row.signing_key] if is_valid(row, Clock.now()) else []
            await self._connected()  # first who is shut out, which needs no stream
            await asyncio.gather(*(self._account(*one, sorted(keys)) for one, keys in valid.items()))
            failed = [error for one in accounts.items() if (error := await _open(bus, *one))]
            if failed:
                raise failed[0]
        except (nats.errors.Error, TimeoutError) as error:
            raise ServiceUnavailable("the bus") from error

    async def _account(self, account: str, scheme: str, institution: str, signing_keys: list[str]) -> None:
        told = await self._ask(f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP", b"")
        claim = partner_claim(self._operator, account, scheme, institution, self._fund, signing_keys)
        if all(_content(one.decode()) == _content(claim) for one in told):
            return
        for answer in await self._ask("$SYS.REQ.CLAIMS.UPDATE", claim.encode()):
            if error := json.loads(answer).get("error"):
                raise ServiceUnavailable(f"the bus refuses an account: {error}")
        log.info("account told", extra={"institution": institution, "scheme": scheme, "users": len(signing_keys)})

    async def _ask(self, subject: str, body: bytes) -> list[bytes]:
        """What the nodes that are there answer; TimeoutError when none does."""
        client = await self._connected()
        inbox = client.new_inbox()
        taken = await client.subscribe(inbox)
        try:
            await client.publish(subject, body, reply=inbox)
            answers = [(await taken.next_msg(timeout=ASK_SECONDS)).data]
            with contextlib.suppress(TimeoutError):
                while len(answers) < self._nodes:
                    answers.append((await taken.next_msg(timeout=OTHERS_SECONDS)).data)
        finally:
            await taken.unsubscribe()
        return answers

    async def _connected(self) -> Client:
        if self._client is None:
            async with asyncio.timeout(ASK_SECONDS):
                self._client = await connect("riskpool-gateway-partners", "gateway", credentials=self._credentials)
        return self._client

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._client.close()


async def _open(bus: Bus, institution: str, accounts: Mapping[str, str]) -> APIError | None:
    """An institution's ingress stream and the consumers of its receipts; what the server has against them."""
    try:
        await ensure_stream(bus.js, ingress_stream(institution), accounts)
        for scheme, account in accounts.items():
            await ensure_consumer(bus.js, Consumer(RECEIPTS, account, (f"receipts.{institution}.{scheme}.>",)))
    except APIError as error:
        return error
    return None


def _content(claim: str) -> Any:
    """What a claim grants and who signed it, without when; None when it is none."""
    parts = claim.split(".")
    if len(parts) != 3:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    told = json.loads(base64.urlsafe_b64decode(padded))
    return told["iss"], told["nats"]


async def keep_telling(service: Service) -> None:
    """Every few seconds: terminated agreements end access, and the bus agrees with the database; for ever."""
    try:
        access = BusAccess.from_environment()
    except AccountsOff:
        return
    try:
        while True:
            try:
                async with service.engine.begin() as connection:
                    await end_with_agreements(connection)
                if hasattr(service, "bus"):
                    async with service.engine.begin() as connection:
                        await access.tell(connection, service.bus)
            except Exception as error:
                log.warning("not told", extra={"error": repr(error)[:300]})
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await access.close()
