"""One random year three ways - the pure rules, a transaction a message, the writer's batches - under every mishap."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.pool import handlers
from services.pool.journal import JournalRows
from services.pool.store import AGGREGATES
from shared.clock import SHANGHAI
from shared.contracts.commands import InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived, IncomeCredited, StatementIssued, TransferReturned, TransferSettled
from shared.contracts.recovery import WriteOffApproved
from shared.contracts.review import CompensationApproved, SubsidyApproved
from shared.database import is_outage, migrate
from shared.messaging import tables as core
from shared.messaging.chain import NOTHING, event_sha256
from shared.messaging.unit_of_work import Transaction, UnitOfWork
from shared.messaging.writer import Work, Writer
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres
from tests.pool.world import START, World, fen, item

YANQING = load_scheme("yanqing")
NOW = datetime(START.year, START.month, START.day, 9, tzinfo=SHANGHAI)
STEPS = 120


@dataclass(frozen=True)
class Told:
    """One message that the pool is told, and what takes it."""

    id: str
    handler: Any
    message: Any


class Story(World):
    """What happens by chance, and the same as messages."""

    def __init__(self, seed: int) -> None:
        self.chance, self.told = random.Random(seed), list[Told]()
        super().__init__()
        for source, amount in self.policy.sources.items():
            number = len(self.told) + 1
            self.tell(handlers.inject_capital, InjectCapital(source=source, amount=amount, bank_ref=f"CAP-{number}"))
        for number in range(STEPS):
            getattr(self, self.chance.choice(PLAYED))(f"{number:03d}")

    def tell(self, handler: Any, message: Any) -> None:
        self.told.append(Told(f"m-{len(self.told):03d}", handler, message))

    def amount(self, most: str = "2000000.00") -> int:
        return self.chance.randint(1, fen(most))

    def claims(self, number: str) -> None:
        half = f"{2000 + int(number)}H1"
        items = tuple(item(f"L-{number}-{one}", self.amount()) for one in range(self.chance.randint(1, 3)))
        self.approve(*items, half=half)
        approved = CompensationApproved(half=half, consented_on=self.today, document_no="1", items=items)
        self.tell(handlers.record_approval, approved)

    def releases(self, number: str) -> None:
        self.notice("needed", f"N-{number}")
        self.tell(handlers.issue_payout_notice, IssuePayoutNotice(notice_no=f"N-{number}", reason="needed"))

    def settles(self, number: str) -> None:
        for one in self.waiting()[:2]:
            self.settle(one)
            settled = TransferSettled(disbursement_id=one, bank_ref=f"B-{one}", settled_on=self.today)
            self.tell(handlers.settle_transfer, settled)

    def returns(self, number: str) -> None:
        for one in self.waiting()[:1]:
            self.give_back(one)
            self.tell(handlers.take_back_transfer, TransferReturned(disbursement_id=one, reason="账户已销户"))

    def money(self, number: str) -> None:
        purpose = self.chance.choice(("recovery", "recovery", "clawback", "other"))
        loans = [key for kind, key in self.states if kind == "compensation"]
        loan = self.chance.choice([*loans, "nobody's"]) if purpose != "other" else None
        amount = self.amount("900000.00")
        self.receive(purpose, loan, amount, f"R-{number}")
        fields = {"purpose": purpose, "loan_no": loan, "amount": amount, "bank_ref": f"R-{number}"}
        self.tell(handlers.book_funds, FundsReceived.model_validate({**fields, "received_on": self.today}))

    def interest(self, number: str) -> None:
        amount = self.chance.randint(-fen("50000.00"), fen("90000.00"))
        self.income(amount, "2026", f"I-{number}")
        self.tell(handlers.book_income, IncomeCredited(amount=amount, period="2026", bank_ref=f"I-{number}"))

    def premium(self, number: str) -> None:
        amount = self.amount("9000.00")
        self.subsidy(f"P-{number}", amount)
        fields = {"uscc": "U-S", "loan_no": f"L-P-{number}", "policy_no": f"P-{number}", "amount": amount}
        self.tell(handlers.pay_subsidy, SubsidyApproved.model_validate({**fields, "approved_on": self.today}))

    def loss(self, number: str) -> None:
        loans = [key for kind, key in self.states if kind == "compensation"]
        for loan in self.chance.sample(loans, min(1, len(loans))):
            amount = self.amount("300000.00")
            self.write_off(loan, amount)
            self.tell(handlers.book_write_off, WriteOffApproved(uscc=f"U-{loan}", loan_no=loan, amount=amount))

    def letter(self, number: str) -> None:
        balance = self.fund.cash_fen + self.chance.choice((0, 0, 1))
        self.statement(balance, self.today, self.fund.cash_fen)
        self.tell(handlers.reconcile_statement, StatementIssued(as_of=self.today, balance=balance))

    def waiting(self) -> list[str]:
        found = [state.id for (kind, _), state in self.states.items() if kind == "disbursement"]
        return [one for one in found if self.states["disbursement", one].status == "instructed"]


PLAYED = ("claims", "claims", "releases", "settles", "settles", "returns", "money", "money", "money", "interest",
          "premium", "loss", "letter")  # fmt: skip


class Pool:
    """A database of the pool's, told a story."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.outside = create_async_engine(engine.url, poolclass=NullPool)

    def work(self, told: Told) -> Work:
        async def run(transaction: Transaction) -> None:
            unit = UnitOfWork(transaction, YANQING, NOW, "custodian", "custodian", told.id)
            await unit.record((await told.handler(unit, told.message)).events)

        return Work("yanqing", ("test", "/test", told.id), told.id.encode(), run, told.message)

    async def one_by_one(self, told: Sequence[Told]) -> None:
        for one in told:
            async with self.engine.begin() as connection:
                transaction = Transaction(connection, "pool", AGGREGATES, JournalRows)
                await self.work(one).run(transaction)
                await transaction.flush()

    async def until_taken(self, writer: Writer, told: Sequence[Told]) -> None:
        """Send messages, in order, until all are taken; an outage is answered by sending again."""
        left = list(told)
        while left:
            works = [self.work(one) for one in left]
            await writer.do(works)
            for work in works:
                assert work.error is None or is_outage(work.error), repr(work.error)
            left = [one for one, work in zip(left, works, strict=True) if work.error]

    async def rows(self, query: str) -> list[Any]:
        async with self.outside.connect() as connection:
            return list(await connection.execute(text(query)))

    async def equals(self, story: Story) -> None:
        """Events, states, journal, roll-up and chain are those of the pure rules."""
        told = await self.rows("select name, payload, position, recorded_at, sha256 from outbox order by id")
        assert [row.name for row in told] == [type(event).__name__ for event in story.events]
        for row, event in zip(told, story.events, strict=True):
            assert row.payload.endswith(f'"data":{event.json_data()}}}')
        before = NOTHING
        for number, row in enumerate(told, start=1):
            before = event_sha256(before, number, row.recorded_at, row.payload)
            assert (row.position, bytes(row.sha256)) == (number, before)
        for aggregate in AGGREGATES:
            kept = {row.key: row.doc for row in await self.rows(f"select key, doc::text from {aggregate.table.name}")}
            wanted = {key: state for (kind, key), state in story.states.items() if kind == aggregate.name}
            read = {key: aggregate.model.model_validate_json(doc) for key, doc in kept.items()}
            assert read == {key: state for key, state in wanted.items() if state is not None}
        lines = Counter((row.account, row.amount_fen) for row in await self.rows("select * from entries"))
        entries = [(entry.account, entry.amount) for event in story.events for entry in event.entries]
        assert sum(amount * n for (_, amount), n in lines.items()) == 0
        assert balances(lines) == balances(Counter(entries))
        days = await self.rows("select account, sum(debit_fen - credit_fen) fen from account_days group by 1")
        assert {row.account: int(row.fen) for row in days if row.fen} == balances(lines)


def balances(lines: Counter[tuple[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (account, amount), times in lines.items():
        found[account] += amount * times
    return {account: amount for account, amount in found.items() if amount}


@pytest.fixture
async def pool(postgres: Postgres) -> AsyncIterator[Pool]:
    postgres.role("pool")
    url = postgres.database()
    await asyncio.to_thread(migrate, "pool", url, "pool")
    engine = create_async_engine(url, pool_size=8)
    async with engine.begin() as connection:
        await connection.execute(core.schemes.insert().values(scheme="yanqing", version=YANQING.version))
    yield Pool(engine)
    await engine.dispose()


def chunks(told: Sequence[Told], chance: random.Random) -> list[Sequence[Told]]:
    """Batches of every size."""
    found, at = [], 0
    while at < len(told):
        size = chance.choice((1, 2, 5, 30))
        found.append(told[at : at + size])
        at += size
    return found


class Writing:
    """A writer at work; ``end`` is a crash: what was in memory is gone."""

    def __init__(self, pool: Pool) -> None:
        self.writer = Writer(pool.engine, "pool", AGGREGATES, JournalRows)
        self.task = asyncio.create_task(self.writer.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def seed() -> int:
    found = int(os.environ.get("RISKPOOL_SEED") or random.randrange(10**6))
    print(f"seed {found}")
    return found


async def test_a_transaction_a_message_does_what_the_rules_say(pool: Pool, seed: int) -> None:
    story = Story(seed)
    await pool.one_by_one(story.told)
    await pool.equals(story)


async def test_the_writer_does_the_same_whatever_the_batches(pool: Pool, seed: int) -> None:
    story = Story(seed)
    writing = Writing(pool)
    sent = [pool.until_taken(writing.writer, batch) for batch in chunks(story.told, story.chance)]
    await asyncio.gather(*sent)
    await writing.end()
    await pool.equals(story)


async def test_everything_told_again_and_again_to_a_writer_that_crashes_six_times(pool: Pool, seed: int) -> None:
    story = Story(seed)
    batches = chunks(story.told, story.chance)
    crashes = set(story.chance.sample(range(len(batches)), 6))
    writing, sent = Writing(pool), list[Told]()
    for number, batch in enumerate(batches):
        await pool.until_taken(writing.writer, [*story.chance.sample(sent, min(3, len(sent))), *batch])
        sent += batch
        if number in crashes:
            await writing.end()
            writing = Writing(pool)
            await pool.until_taken(writing.writer, sent[-20:])
    await writing.end()
    await pool.equals(story)


async def test_two_writers_that_take_turns_and_transactions_between(pool: Pool, seed: int) -> None:
    story = Story(seed)
    both = [Writing(pool), Writing(pool)]
    for batch in chunks(story.told, story.chance):
        if story.chance.random() < 0.2:
            await pool.one_by_one(batch)
        else:
            await pool.until_taken(story.chance.choice(both).writer, batch)
    for writing in both:
        await writing.end()
    await pool.equals(story)


async def test_connections_that_are_cut_in_the_middle_of_batches(pool: Pool, seed: int) -> None:
    story, done = Story(seed), asyncio.Event()

    async def cut() -> None:
        while not done.is_set():
            await pool.rows("""select pg_terminate_backend(pid) from pg_stat_activity
                               where pid <> pg_backend_pid() and datname = current_database()""")
            await asyncio.sleep(random.uniform(0.05, 0.4))

    cutting, writing = asyncio.create_task(cut()), Writing(pool)
    for batch in chunks(story.told, story.chance):
        await pool.until_taken(writing.writer, batch)
    done.set()
    await cutting
    await writing.end()
    await pool.equals(story)
