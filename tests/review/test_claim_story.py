"""One loan from repayment to recovery through the handlers, the real database and the fold of what was announced."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.review import tables
from services.review.app import SERVICE
from services.review.handlers import claims
from shared.contracts import commands, partners, pool, recovery
from shared.contracts.review import AgreementSigned
from shared.decisions import Accepted, Decision
from shared.messaging.unit_of_work import Transaction, UnitOfWork
from shared.money import parse_yuan
from shared.scheme.loader import load_scheme
from tests.conftest import Postgres, make_tables
from tests.review.loan_stories import SEATS, USCC, at, covered, refused

SCHEME = load_scheme("yanqing")
SHARE = Decimal("0.20")


class Story:
    """Says one message after another, each in a unit of work of its own."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    def unit(self, by: str, on: str) -> UnitOfWork:
        transaction = Transaction(self.connection, "review", SERVICE.aggregates)
        return UnitOfWork(transaction, SCHEME, at(on), by, "", f"{by}-{on}")

    async def given(self, *events: Any) -> None:
        uow = self.unit("review", "2026-01-26")
        await uow.record(events)
        await uow.transaction.flush()

    async def say(self, by: str, on: str, handler: Any, message: Any) -> Decision:
        uow = self.unit(by, on)
        decision: Decision = await handler(uow, message)
        await uow.record(decision.events)
        await uow.transaction.flush()
        return decision

    async def status(self) -> str | None:
        loans = SERVICE.aggregates[3].table
        status: str | None = await self.connection.scalar(select(loans.c.status).where(loans.c.key == "A-0001"))
        return status


@pytest.fixture
async def story(postgres: Postgres) -> AsyncIterator[Story]:
    engine = create_async_engine(postgres.database().replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.connect() as connection:
        await connection.run_sync(make_tables, tables.metadata)
        yield Story(connection)
    await engine.dispose()


async def test_a_defaulted_loan_is_claimed_verified_compensated_and_recovered(story: Story) -> None:
    signed = AgreementSigned(
        institution="bank-a", kind="bank", name="甲银行", valid_from=date(2026, 1, 1), valid_to=date(2028, 12, 31)
    )
    await story.given(signed, covered())
    repaid = partners.LoanRepaid(loan_no="A-0001", principal=parse_yuan("500000.01"), repaid_on=date(2026, 5, 20))
    assert isinstance(await story.say("bank-a", "2026-05-20", claims.loan_repaid, repaid), Accepted)
    filed = partners.LoanDefaulted(
        loan_no="A-0001", classified="substandard", classified_on=date(2026, 6, 8),
        outstanding_principal=parse_yuan("2600000.00"),
    )
    assert refused(await story.say("bank-a", "2026-06-10", claims.loan_defaulted, filed)) == "claim.amount"
    filed = filed.model_copy(update={"outstanding_principal": parse_yuan("2499999.99")})
    assert isinstance(await story.say("bank-a", "2026-06-10", claims.loan_defaulted, filed), Accepted)
    opened = commands.OpenClaimBatch(half="2026H1")
    assert isinstance(await story.say("drc", "2026-07-01", claims.open_claim_batch, opened), Accepted)
    for seat in SEATS:
        vote = commands.VerifyClaim(loan_no="A-0001", opinion="approve")
        assert isinstance(await story.say(seat, "2026-07-06", claims.verify_claim, vote), Accepted)
    assert await story.status() == "verified"
    submitted = commands.SubmitClaimBatch(half="2026H1")
    assert isinstance(await story.say("drc", "2026-07-08", claims.submit_claim_batch, submitted), Accepted)
    reduced = commands.SanctionInstitution(
        institution="bank-a", measure="reduce", reduction=SHARE, reason="抬高利率"
    )
    assert isinstance(await story.say("drc", "2026-07-10", claims.sanction_institution, reduced), Accepted)
    consent = commands.ConsentClaimBatch(half="2026H1", decision="consent", document_no="延政函〔2026〕20号")
    approved = await story.say("government", "2026-07-15", claims.consent_claim_batch, consent)
    assert isinstance(approved, Accepted) and approved.result == {"items": 1, "total": "1000000.00"}
    assert await story.status() == "approved"
    await story.say("pool", "2026-07-20", claims.on_compensation_settled, settled(100_000_000))
    assert await story.status() == "compensated"
    await story.given(covered(loan_no="A-0002", uscc="93110119MA00NY013F"))
    second = filed.model_copy(update={"loan_no": "A-0002"})
    decision = await story.say("bank-a", "2026-08-03", claims.loan_defaulted, second)
    assert refused(decision) == "claim.statement"
    closed = recovery.RecoveryClosed(uscc=USCC, loan_no="A-0001", remitted=100_000_000, clawed_back=0)
    await story.say("recovery", "2026-08-04", claims.on_recovery_closed, closed)
    assert await story.status() == "closed"
    assert isinstance(await story.say("bank-a", "2026-08-05", claims.loan_defaulted, second), Accepted)


def settled(amount_fen: int) -> pool.CompensationSettled:
    figures = dict.fromkeys(pool.FundFigures.model_fields, 0) | {"state": "active"}
    return pool.CompensationSettled.model_validate({
        "on": date(2026, 7, 20), "fund": figures, "uscc": USCC, "loan_no": "A-0001", "disbursement_id": "d-1",
        "amount": amount_fen, "bank_ref": "r-1", "payee": "bank-a", "lender": "bank-a", "recommender": "scitech",
        "verified_principal": parse_yuan("2499999.99"), "ratio": SHARE,
    })
