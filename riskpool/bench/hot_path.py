"""The pool's writer on a real PostgreSQL, without the bus: a hot fund, many funds, one event, a batch, the limit."""

import asyncio
import contextlib
import copy
import gc
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from nats.aio.msg import Msg
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from riskpool.bench.decisions import LOAN, PAID_FEN, loan_item
from riskpool.bench.peer_database import scratch_database
from riskpool.supervisor import StackError
from services.pool import handlers
from services.pool.policy import PoolPolicy
from shared.clock import SHANGHAI
from shared.contracts.base import Message
from shared.contracts.commands import InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived
from shared.contracts.review import CompensationApproved
from shared.database import migrate
from shared.messaging import tables
from shared.messaging.dispatch import Dispatch
from shared.messaging.envelope import new_id, type_of
from shared.messaging.incoming import Incoming
from shared.messaging.intake import Intake
from shared.messaging.service import Service
from shared.messaging.unit_of_work import Institution, Transaction, UnitOfWork
from shared.messaging.writer import Work, Writer
from shared.scheme.loader import load_scheme

NOW = datetime(2026, 6, 1, 9, tzinfo=SHANGHAI)
CUSTODIAN = Institution("custodian", "custodian", "custodian", NOW.date(), NOW.date().replace(year=2036))
IN_FLIGHT = 2
COPIED = 20_000


class Funds:
    """A database of the pool's with some funds, and one writer on it; ``taken`` counts what each fund was told."""

    def __init__(self, engine: AsyncEngine, owner: AsyncEngine, service: Service, schemes: Sequence[str]) -> None:
        self.engine, self._owner, self._service, self.schemes = engine, owner, service, schemes
        self.writer = Writer(engine, "pool", service.aggregates, service.rows)
        dispatch = Dispatch(service)
        read, handle = dispatch.read_partner_event, dispatch.partner_event
        self._intake = Intake(engine, "partner-custodian", read, handle, service.begin, self.writer, kind="partner")
        self._alone = replace(self._intake, writer=None)
        self._numbers = itertools.count(1)
        self._sent: list[tuple[str, str]] = []
        self.told = 0

    async def prepare(self) -> None:
        """Capital and one compensation paid, in every fund."""
        policy = next(iter(self._service.schemes.values())).policy(PoolPolicy)
        capital = [InjectCapital(source=name, amount=fen, bank_ref=name) for name, fen in policy.sources.items()]
        items = (loan_item(LOAN, PAID_FEN),)
        approved = CompensationApproved(half="2026H1", consented_on=NOW.date(), document_no="1", items=items)
        notice = IssuePayoutNotice(notice_no="1")
        steps: list[tuple[Any, Message]] = [(handlers.inject_capital, one) for one in capital]
        steps += [(handlers.record_approval, approved), (handlers.issue_payout_notice, notice)]
        for handler, message in steps:
            await self.writer.do(works := [self._step(scheme, handler, message) for scheme in self.schemes])
            for error in (work.error for work in works if work.error):
                raise error

    def _step(self, scheme: str, handler: Any, message: Message) -> Work:
        async def run(transaction: Transaction) -> None:
            unit = UnitOfWork(transaction, self._service.schemes[scheme], NOW, "drc", "drc", "prepare")
            await unit.record((await handler(unit, message)).events)

        return Work(scheme, ("prepare", scheme, new_id()), b"", run)

    def messages(self, count: int) -> list[Incoming]:
        """Recoveries of 0.01 yuan, read and checked as they come off the bus, for one fund after the other."""
        return [self._intake.read_one(self._raw(next(self._numbers))) for _ in range(count)]

    def _raw(self, number: int) -> Msg:
        scheme = self.schemes[number % len(self.schemes)]
        data = {"purpose": "recovery", "loan_no": LOAN, "amount": "0.01", "bank_ref": f"R{number:012d}",
                "received_on": str(NOW.date())}  # fmt: skip
        event = {"specversion": "1.0", "id": new_id(), "source": "/partners/custodian", "scheme": scheme, "data": data,
                 "type": type_of("FundsReceived"), "time": NOW.isoformat()}  # fmt: skip
        client: Any = None
        place = f"$JS.ACK.PARTNERS_custodian.pool.1.{number}.{number}.{time.time_ns()}.0"
        subject = f"partners.custodian.{scheme}.FundsReceived"
        return Msg(_client=client, subject=subject, reply=place, data=json.dumps(event).encode())

    async def rate(self, count: int, batch: int) -> float:
        """Events a second, decided and committed: ``batch`` at a time, the next one waiting while one is written."""
        messages = self.messages(count)
        return await self._timed(messages, [messages[at : at + batch] for at in range(0, count, batch)], self._decide)

    async def transactions(self, count: int) -> float:
        """Events a second of the way that the first release took: a transaction an event."""
        messages = self.messages(count)
        return await self._timed(messages, [[one] for one in messages], self._alone.decide_in_transaction, at_once=1)

    async def _decide(self, batch: Sequence[Incoming]) -> None:
        await self._intake.decide(batch)

    async def _timed(
        self,
        messages: Sequence[Incoming],
        batches: Sequence[Sequence[Incoming]],
        take: Callable[[Sequence[Incoming]], Awaitable[object]],
        at_once: int = IN_FLIGHT,
    ) -> float:
        waiting = iter(batches)

        async def one_after_another() -> None:
            for batch in waiting:
                await take(batch)

        gc.collect()
        begun = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        taken = time.perf_counter() - begun
        await self._prove(messages)
        return len(messages) / taken

    async def milliseconds(self, rounds: int, batch: int) -> list[float]:
        """What each of so many batches took, one after the other, from read to committed."""
        taken = []
        batches = [self.messages(batch) for _ in range(rounds)]
        for messages in batches:
            begun = time.perf_counter()
            await self._decide(messages)
            taken.append((time.perf_counter() - begun) * 1000)
        await self._prove([one for messages in batches for one in messages])
        return taken

    async def _prove(self, messages: Sequence[Incoming]) -> None:
        """The oracle: every message so far once in inbox, receipts, events, journal, roll-up and funds."""
        sent = messages[: COPIED - len(self._sent)]
        self._sent += [(one.id, one.message.bank_ref) for one in sent if isinstance(one.message, FundsReceived)]
        self.told += len(messages)
        async with self.engine.connect() as connection:
            found = (await connection.execute(text(_ORACLE))).one()
        if set(found) != {self.told}:
            raise StackError(f"{self.told} events were sent, the pool's tables say {tuple(found)}")

    async def limit(self, batch: int, most: int = COPIED) -> float:
        """Events a second of the same rows with no decisions: copied set by set into tables of the same making."""
        async with self._owner.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            for statement in _CLONE.split(";\n"):
                await connection.exec_driver_sql(statement)
            first = (await connection.exec_driver_sql(_FIRST)).one()
            sent, done, begun = self._sent[:most], 0, time.perf_counter()
            for at in range(0, len(sent) - batch + 1, batch):
                part = sent[at : at + batch]
                outbox, seq = first.outbox + 2 * at, first.seq + at
                places = (outbox, outbox + 2 * batch - 1, seq, seq + batch - 1)
                await connection.exec_driver_sql(_COPY, ([i for i, _ in part], [ref for _, ref in part], *places))
                done += batch
            taken = time.perf_counter() - begun
            copied = (await connection.exec_driver_sql(_COPIED)).one()
            await connection.exec_driver_sql("drop schema bare cascade")
        if set(copied) != {done}:
            raise StackError(f"{done} events were to be copied, the tables say {tuple(copied)}")
        return done / taken


@contextlib.asynccontextmanager
async def funds(owner_url: str, number: int = 1, name: str = "pool") -> AsyncIterator[Funds]:
    """A scratch database with so many funds, each with its capital in and one compensated loan; its writer at work."""
    from services.pool.app import SERVICE  # it brings the whole service, which only this needs

    service = copy.copy(SERVICE)
    yanqing = load_scheme("yanqing")
    service.schemes = {f"fund-{one:04d}": replace(yanqing, id=f"fund-{one:04d}") for one in range(number)}
    async with scratch_database(owner_url, name) as url:
        await asyncio.to_thread(migrate, "pool", url.render_as_string(hide_password=False), str(url.username))
        async with _engine(url) as engine, _engine(url) as owner:
            async with engine.begin() as connection:
                names = [{"scheme": scheme, "version": yanqing.version} for scheme in service.schemes]
                await connection.execute(tables.schemes.insert(), names)
                agreed = [{"scheme": scheme, **asdict(CUSTODIAN)} for scheme in service.schemes]
                await connection.execute(tables.institutions.insert(), agreed)
            made = Funds(engine, owner, service, list(service.schemes))
            writing = asyncio.create_task(made.writer.run())
            try:
                await made.prepare()
                yield made
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)


@contextlib.asynccontextmanager
async def _engine(url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
    try:
        yield engine
    finally:
        await engine.dispose()


_ORACLE = """
select (select count(*) from inbox where consumer = 'partner-custodian'),
       (select count(*) from outbox where stream = 'RECEIPTS' and payload like '%"accepted"%'),
       (select count(*) from outbox where name = 'FundsBooked'),
       (select sum((doc->>'recovered_fen')::bigint) from fund),
       (select count(*) from journal where credit = 'recovered'),
       (select coalesce(sum(credit_fen), 0) from account_days where account = 'recovered')
"""
_FIRST = """
select (select min(id) from outbox where name = 'FundsBooked') as outbox,
       (select min(seq) from journal where credit = 'recovered') as seq
"""
_CLONE = """drop schema if exists bare cascade;
create schema bare;
create table bare.schemes (like public.schemes including all);
create table bare.inbox (like public.inbox including all);
create table bare.outbox (like public.outbox including all);
create table bare.journal (like public.journal including all);
create table bare.account_days (like public.account_days including all);
create table bare.fund (like public.fund including all);
create table bare.compensations (like public.compensations including all);
create table bare.bank_refs (like public.bank_refs including all);
insert into bare.schemes select * from public.schemes;
insert into bare.fund (scheme, key, version, doc) select scheme, key, version, doc from public.fund;
insert into bare.compensations (scheme, key, version, doc) select scheme, key, version, doc from public.compensations;
analyze"""
_COPY = """
with s as (update bare.schemes set written = written + 1 returning 1),
i as (insert into bare.inbox select * from public.inbox
      where consumer = 'partner-custodian' and source = '/partners/custodian' and message_id = any ($1::text[])),
o as (insert into bare.outbox overriding system value
      select * from public.outbox where id between $3::bigint and $4::bigint order by id),
j as (insert into bare.journal select * from public.journal
      where scheme = 'fund-0000' and seq between $5::bigint and $6::bigint),
d as (insert into bare.account_days
      select scheme, unnest(array[debit, credit]), effective_on, 0, sum(amount_fen) from public.journal
      where scheme = 'fund-0000' and seq between $5::bigint and $6::bigint group by 1, 2, 3
      on conflict (scheme, account, day) do update set credit_fen = account_days.credit_fen + excluded.credit_fen),
f as (update bare.fund set version = version + 1, doc = doc),
c as (update bare.compensations set version = version + 1, doc = doc)
insert into bare.bank_refs select * from public.bank_refs where scheme = 'fund-0000' and key = any ($2::text[])
"""
_COPIED = """
select (select count(*) from bare.inbox), (select count(*) from bare.outbox) / 2, (select count(*) from bare.journal),
       (select count(*) from bare.bank_refs)
"""
