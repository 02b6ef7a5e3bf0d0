"""Ten thousand cases for `riskpool bench`: a hundred lives folded by the real projections, and copies of them."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway.projections.dispatch import project
from services.gateway.projections.rebuild import projections
from shared.clock import SHANGHAI
from shared.contracts import pool, recovery, referral, review
from shared.contracts.base import Event
from shared.contracts.commands import Application, Person, Shareholder
from shared.messaging.envelope import Envelope, type_of

SCHEME = "yanqing"
LIVES = 100
COPY, RARE = "QQQQ", "ZZZZ"
"""Stands in every id of a life for the number of its copy; of a rare life there are few copies."""
RARE_COPIES = 5
BANKS = ("bank-a", "bank-b")
DEPARTMENTS = ("sasac", "scitech", "agriculture", "culture", "commerce")
BEGIN = datetime(2026, 1, 5, 9, tzinfo=SHANGHAI)
PERSON = Person(name="赵一", id="110229198001010011")
# How far a hundred lives have come: most are over, as after some years; a sixth wait for somebody. The last ten are
# rare: the capital of 30 million pays some forty compensations, so a few more copies go bad, all others are financed.
STAGES = {
    "referred": 3, "returned": 2, "refused": 8, "admitted": 2, "voting": 3, "consent": 1, "declined": 8, "rated": 3,
    "pushed": 4, "exhausted": 6, "financed": 38, "repaid": 12, "claimed": 2, "compensated": 6, "overdue": 2,
}  # fmt: skip
BAD = ("claimed", "compensated", "overdue")
BEFORE_PANEL = ("referred", "returned", "refused", "admitted")
assert sum(STAGES.values()) == LIVES


def uscc_of(life: int, copy: int | str = COPY) -> str:
    """The credit code of one copy of a life (its shape only: nothing here checks the two check characters)."""
    return f"91110119{life:03d}{copy if isinstance(copy, str) else f'{copy:04d}'}X1Z"


def loan_of(life: int, copy: int | str = COPY) -> str:
    """Its loan's number."""
    return f"L{life:03d}-{copy if isinstance(copy, str) else f'{copy:04d}'}"


def bank_of(life: int) -> str:
    """The bank that sits on its panel and lends."""
    return BANKS[life % len(BANKS)]


def stages() -> list[str]:
    """How far each life has come, in order of its number."""
    return [stage for stage, number in STAGES.items() for _ in range(number)]


async def fill(engine: AsyncEngine, cases: int, say: Callable[[str], None] = lambda step: None) -> int:
    """Put so many cases (a multiple of a hundred), and fifty bad ones, into the gateway's tables; how many copies."""
    async with engine.begin() as connection:
        before = await _newest(connection)
        say("folding a hundred lives")
        for life, stage in enumerate(stages()):
            for mark in (COPY, RARE) if stage in BAD else (COPY,):
                for number, event in enumerate(_life(life, "financed" if stage in BAD and mark == COPY else stage)):
                    identifier, at = f"bench-{life:03d}-{mark}-{number}", BEGIN + timedelta(days=number)
                    await _take(connection, _marked(event, mark), identifier, at)
        after = await _newest(connection)
        copies = cases // LIVES
        for table in ("events", *(one.name for one in projections())):
            say(f"copying {table}")
            await _copy(connection, table, COPY, 1, copies, after - before)
            await _copy(connection, table, RARE, copies + 1, copies + RARE_COPIES, after - before)
        await connection.execute(
            text("update event_positions set last = :last"),
            {"last": before + (after - before) * (copies + RARE_COPIES + 1)},
        )
        for table in (*(one.name for one in projections()), "events"):
            await connection.execute(
                text(f"delete from {table} marked where to_jsonb(marked.*)::text ~ '{COPY}|{RARE}'")
            )
    return copies


async def _newest(connection: AsyncConnection) -> int:
    return (await connection.execute(text("select max(last) from event_positions"))).scalar() or 0


def _marked(event: Event, mark: str) -> Event:
    return type(event).model_validate_json(event.model_dump_json().replace(COPY, mark))


async def _copy(connection: AsyncConnection, table: str, mark: str, first: int, last: int, step: int) -> None:
    """Every row of the lives once a copy, its mark replaced and its place among all events moved on."""
    await connection.execute(
        text(
            f"""
            insert into {table} select made.* from {table} marked
            cross join generate_series(cast(:first as bigint), cast(:last as bigint)) number
            cross join lateral (select to_jsonb(marked.*) as row) old
            cross join lateral jsonb_populate_record(null::{table},
                replace(old.row::text, '{mark}', lpad(number::text, 4, '0'))::jsonb
                || case when old.row ? 'position'
                   then jsonb_build_object('position', (old.row->>'position')::bigint + number * cast(:step as bigint))
                   else '{{}}'::jsonb end
                || case when old.row ? 'place'
                   then jsonb_build_object('place',
                       (old.row->>'place')::bigint + number * cast(:step as bigint) * 10000)
                   else '{{}}'::jsonb end) made
            where strpos(old.row::text, '{mark}') > 0
            on conflict do nothing
            """
        ),
        {"first": first, "last": last, "step": step},
    )


async def _take(connection: AsyncConnection, event: Event, identifier: str, at: datetime) -> None:
    name = type(event).__name__
    envelope = Envelope(
        specversion="1.0", id=identifier, source=f"/services/{event.service}", type=type_of(name), time=at,
        subject=event.about, scheme=SCHEME, correlationid=event.case, causationid=f"cause-{identifier}",
        schemeversion="bench", data=event.model_dump(mode="json"),
    )  # fmt: skip
    await project(connection, [(envelope, event)])


def _life(life: int, stage: str) -> Iterator[Event]:
    """One enterprise's events up to a stage."""
    yield _referred(life)
    uscc = uscc_of(life)
    if stage == "returned":
        yield referral.ReferralReturned(uscc=uscc, reason="请补充近三年资产负债表", findings=())
    if stage == "refused":
        yield referral.ReferralRefused(uscc=uscc, reason="有不良信用记录", findings=())
    if stage in ("referred", "returned", "refused"):
        return
    yield from _panel(life, stage)
    if stage in ("pushed", "exhausted"):
        yield from _pushed(life, stage)
    elif stage in ("financed", "repaid", "claimed", "compensated", "overdue"):
        yield from _pushed(life, stage)
        yield from _loan(life, stage)


def _referred(life: int) -> Event:
    application = Application(
        name=f"延庆{life:03d}第{COPY}号农业科技有限公司", industry="agriculture", sector="agriculture", region="110119",
        registration="active", legal_representative=PERSON, actual_controller=PERSON, employees=42,
        shareholders=(Shareholder(name="赵一", id=PERSON.id, share=Decimal(1)),), project="冷链仓储扩建",
        need=300_000_000, purpose="采购设备及流动资金", letter_no=f"延推〔2026〕{life}号", materials=("tax",),
        revenue=1_200_000_000,
    )  # fmt: skip
    return referral.EnterpriseReferred(
        uscc=uscc_of(life), recommender=DEPARTMENTS[life % 5], referred_on=date(2026, 1, 5), size="small",
        application=application, findings=(),
    )  # fmt: skip


def _panel(life: int, stage: str) -> Iterator[Event]:
    uscc, recommender, day = uscc_of(life), DEPARTMENTS[life % 5], date(2026, 1, 6)
    name = f"延庆{life:03d}第{COPY}号农业科技有限公司"
    yield referral.EnterpriseAdmitted(
        uscc=uscc, name=name, recommender=recommender, need=300_000_000, need_waived=False, sector="agriculture",
        legal_representative=PERSON, affiliates=(), shareholders=(), findings=(), admitted_on=day,
    )  # fmt: skip
    yield review.CaseOpened(
        uscc=uscc, name=name, recommender=recommender, need=300_000_000, affiliates=(), shareholders=(), admitted_on=day
    )
    if stage == "admitted":
        return
    seats = ("drc", "finance", recommender, bank_of(life))
    yield review.RatingRoundOpened(uscc=uscc, round=1, seats=seats, opened_on=day)
    for seat in seats[: 2 if stage == "voting" else 4]:
        yield review.VoteCast(uscc=uscc, round=1, seat=seat, grade="medium", comment="经营稳定")
    if stage == "voting":
        return
    if stage == "consent":
        yield review.ConsentRequested(uscc=uscc, round=1, ratio=Decimal(1))
    elif stage == "declined":
        yield review.EnterpriseDeclined(uscc=uscc, round=1)
    else:
        yield review.EnterpriseRated(
            uscc=uscc, grade="medium", ratio=Decimal("0.50"), round=1, decided_by="majority",
            rated_on=date(2026, 1, 12), lapses_on=date(2026, 7, 12),
        )  # fmt: skip


def _pushed(life: int, stage: str) -> Iterator[Event]:
    uscc = uscc_of(life)
    yield review.FinancingPushed(
        uscc=uscc, product="bank", institutions=(bank_of(life),), pushed_on=date(2026, 1, 14),
        deadline_on=date(2026, 3, 3), provisional=False, preference=(),
    )  # fmt: skip
    if stage == "exhausted":
        yield review.FinancingFailed(uscc=uscc, failures=2, cause="declined")
        yield review.FinancingExhausted(uscc=uscc, failures=2)


def _loan(life: int, stage: str) -> Iterator[Event]:
    bank, recommender = bank_of(life), DEPARTMENTS[life % 5]
    loan: dict[str, Any] = {"uscc": uscc_of(life), "loan_no": loan_of(life)}
    yield review.LoanCovered(
        **loan, lender=bank, payee=bank, product="bank", principal=300_000_000, ratio=Decimal("0.50"),
        recommender=recommender, seats=("drc", "finance", recommender, bank), annual_rate=Decimal("0.04"),
        disbursed_on=date(2026, 1, 20), matures_on=date(2027, 1, 19),
    )  # fmt: skip
    if stage == "repaid":
        yield review.PrincipalRepaid(**loan, amount=300_000_000, outstanding=0, repaid_on=date(2026, 5, 20))
    if stage not in ("claimed", "compensated", "overdue"):
        return
    yield review.ClaimAccepted(
        **loan, claimant=bank, payee=bank, classified="loss", claimed=200_000, base=200_000,
        accepted_on=date(2026, 4, 10), accepted_at="2026-04-10T09:00:00+08:00",
    )  # fmt: skip
    if stage == "claimed":
        return
    yield from _compensation(life, loan, bank, recommender)
    yield from _recovery(loan, bank, stage)


def _compensation(life: int, loan: dict[str, Any], bank: str, recommender: str) -> Iterator[Event]:
    item = review.CompensationItem(
        **loan, payee=bank, lender=bank, recommender=recommender, verified_principal=200_000, ratio=Decimal("0.50"),
        reduction=Decimal(0), amount=100_000,
    )  # fmt: skip
    day, disbursement = date(2026, 7, 20), f"D{life:03d}-{COPY}"
    money: dict[str, Any] = {"on": day, "fund": _fund(life)}
    yield review.CompensationApproved(half="2026H1", consented_on=day, document_no="20号", items=(item,))
    released = pool.ReleasedItem.model_validate({**dict(item), "half": "2026H1"})
    yield pool.PayoutNoticeIssued(**money, notice_no=f"1-{COPY}", items=(released,))
    moved = (pool.Entry(account="instructed", amount=100_000), pool.Entry(account="cash", amount=-100_000))
    yield pool.CompensationInstructed(
        **money, **loan, entries=moved, disbursement_id=disbursement, payee=bank, amount=100_000
    )
    yield pool.CompensationSettled(
        **money, **loan, disbursement_id=disbursement, amount=100_000, bank_ref=f"B-{COPY}", payee=bank, lender=bank,
        recommender=recommender, verified_principal=200_000, ratio=Decimal("0.50"),
    )  # fmt: skip


def _recovery(loan: dict[str, Any], bank: str, stage: str) -> Iterator[Event]:
    yield recovery.RecoveryOpened(
        **loan, payee=bank, lender=bank, verified_principal=200_000, ratio=Decimal("0.50"),
        opened_on=date(2026, 7, 21),
    )  # fmt: skip
    yield recovery.CompensationCredited(**loan, disbursement_id="D", amount=100_000, paid=100_000)
    yield recovery.RecoveryShared(
        **loan, amount=40_000, pool_share=20_000, institution_share=20_000, collected_on=date(2026, 8, 3),
        due_on=date(2026, 9, 2), by=bank,
    )  # fmt: skip
    if stage == "overdue":
        yield recovery.RemittanceOverdue(**loan, amount=20_000, due_on=date(2026, 9, 2))


def _fund(version: int) -> pool.FundFigures:
    figures = {name: 0 for name in pool.FundFigures.model_fields if name not in ("version", "state")}
    figures |= {
        "capital": 3_000_000_000, "cash": 2_900_000_000, "balance": 2_900_000_000, "compensated_gross": 100_000_000,
        "counter": 100_000_000, "pause_line": 2_100_000_000, "resume_line": 1_500_000_000, "recoverable": 100_000_000,
    }  # fmt: skip
    return pool.FundFigures.model_validate({**figures, "version": 10_000_000 + version, "state": "active"})
