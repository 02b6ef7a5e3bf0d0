"""A fund's first year as its services' events, with the pool's postings and figures made by the pool's own domain."""

import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.dispatch import project
from services.pool.domain.journal import Journal
from services.pool.policy import PoolPolicy
from shared.clock import SHANGHAI
from shared.contracts import commands, pool, recovery, referral, review
from shared.contracts.base import Event
from shared.messaging.envelope import Envelope, type_of
from shared.scheme.loader import load_scheme
from tests.gateway.story import SCHEME, day, yuan

IDENTITY = "110229198001010011"
A, B, C = "91110119MA01ABC17J", "91110119MA7XK2Q34P", "91110119MA00000000"
NAMES = {A: "北京妫水航空科技有限公司", B: "=1+1", C: "北京长城脚下农业有限公司"}
LOANS = {A: "A-001", B: "B-001", C: "C-001"}
PRINCIPAL = {A: yuan(3_000_000), B: yuan(5_000_000), C: yuan(1_000_000)}
VERIFIED = {A: 250_000_033, B: yuan(4_800_000)}
RATIO = {A: Decimal("0.50"), B: Decimal("0.50")}
PAID = {A: 125_000_017, B: yuan(2_160_000)}  # B's guarantor has one tenth withheld
PERSON = commands.Person(name="赵一", id=IDENTITY)


def _application(uscc: str) -> commands.Application:
    return commands.Application(
        name=NAMES[uscc], industry="industrial", sector="low_altitude" if uscc == A else "agriculture", region="110119",
        registration="active", legal_representative=PERSON, actual_controller=PERSON,
        shareholders=(commands.Shareholder(name="赵一", id=IDENTITY, share=Decimal(1)),), project="项目",
        need=PRINCIPAL[uscc], purpose="周转", letter_no="1号", materials=("tax",),
    )  # fmt: skip


class Story:
    """Events with their dates; the pool's own go through its journal."""

    def __init__(self) -> None:
        self.told: list[tuple[date, Event]] = []
        self.fund: Any = None
        self.policy = load_scheme(SCHEME).policy(PoolPolicy)

    def tell(self, on: str, *events: Event) -> None:
        self.told += [(day(on), event) for event in events]

    def pool(self, on: str, cls: type[pool.PoolEvent], **facts: Any) -> None:
        journal = Journal(self.fund, self.policy, day(on))
        journal.add(cls(on=day(on), fund=journal.figures, **facts))
        self.fund = journal.fund
        self.tell(on, *journal.events)


def _agreements(story: Story) -> None:
    for who, kind, name in (
        ("bank-a", "bank", "延庆银行"), ("bank-b", "bank", "妫川银行"), ("guarantor-a", "guarantor", "首都担保"),
        ("insurer-a", "insurer", "长城保险"), ("custodian", "custodian", "北京银行延庆支行"),
    ):  # fmt: skip
        story.tell(
            "2026-01-05",
            review.AgreementSigned(
                institution=who, kind=kind, name=name, valid_from=day("2026-01-01"), valid_to=day("2028-12-31")
            ),
        )


def _referred(story: Story, uscc: str, on: str) -> None:
    story.tell(
        on,
        referral.EnterpriseReferred(
            uscc=uscc, recommender="scitech", referred_on=day(on), application=_application(uscc), size="small",
            findings=(),
        ),
        referral.EnterpriseAdmitted(
            uscc=uscc, name=NAMES[uscc], recommender="scitech", need=PRINCIPAL[uscc], need_waived=False,
            sector="low_altitude", legal_representative=PERSON, affiliates=(), shareholders=(), findings=(),
            admitted_on=day(on),
        ),
        review.CaseOpened(
            uscc=uscc, name=NAMES[uscc], recommender="scitech", need=PRINCIPAL[uscc], affiliates=(), shareholders=(),
            admitted_on=day(on),
        ),
    )  # fmt: skip


def _lent(story: Story, uscc: str, on: str) -> None:
    guaranteed = uscc == B
    product = "guarantee" if guaranteed else "insurance" if uscc == C else "bank"
    story.tell(
        on,
        review.RatingRoundOpened(uscc=uscc, round=1, seats=("drc", "finance", "scitech", "bank-b"), opened_on=day(on)),
        review.EnterpriseRated(
            uscc=uscc, grade="medium", ratio=Decimal("0.50"), round=1, decided_by="majority", rated_on=day(on)
        ),
        review.FinancingPushed(
            uscc=uscc, product=product, institutions=("bank-a", "bank-b"), pushed_on=day(on),
            deadline_on=day("2026-06-01"),
            provisional=False, preference=(),
        ),
        review.LoanCovered(
            uscc=uscc, loan_no=LOANS[uscc], lender="bank-a", product=product, principal=PRINCIPAL[uscc],
            ratio=Decimal("0.50"), guarantor="guarantor-a" if guaranteed else None,
            insurer="insurer-a" if uscc == C else None, guarantor_share=Decimal("0.80") if guaranteed else None,
            payee="guarantor-a" if guaranteed else None if uscc == C else "bank-a", recommender="scitech",
            seats=("drc", "finance", "scitech", "bank-b"), annual_rate=Decimal("0.0385"), disbursed_on=day(on),
            matures_on=day("2027-01-25"),
        ),
    )  # fmt: skip


def _claimed(story: Story, uscc: str, claimant: str) -> None:
    story.tell(
        "2026-06-10",
        review.ClaimAccepted(
            uscc=uscc, loan_no=LOANS[uscc], claimant=claimant, payee=claimant,
            classified="loss", claimed=yuan(4_900_000),
            base=VERIFIED[uscc], accepted_on=day("2026-06-10"),
            accepted_at=f"2026-06-10T0{9 if uscc == A else 8}:00:00+08:00",
        ),
    )  # fmt: skip


def _item(uscc: str, claimant: str) -> dict[str, Any]:
    return {
        "loan_no": LOANS[uscc], "uscc": uscc, "payee": claimant, "lender": "bank-a", "recommender": "scitech",
        "verified_principal": VERIFIED[uscc], "ratio": RATIO[uscc],
        "reduction": Decimal("0.10") if uscc == B else Decimal(0), "amount": PAID[uscc],
    }  # fmt: skip


def _verified(story: Story) -> None:
    story.tell(
        "2026-07-02",
        review.ClaimBatchOpened(half="2026H1", loan_nos=(LOANS[A], LOANS[B]), opened_on=day("2026-07-02")),
        *(
            review.ClaimVerified(
                uscc=uscc, loan_no=LOANS[uscc], half="2026H1", verified_principal=VERIFIED[uscc], ratio=RATIO[uscc],
                decided_by="majority",
            )
            for uscc in (A, B)
        ),
    )  # fmt: skip
    story.tell("2026-07-08", review.ClaimBatchSubmitted(half="2026H1", loan_nos=(LOANS[A], LOANS[B])))


def _compensated(story: Story) -> None:
    both = (_item(B, "guarantor-a"), _item(A, "bank-a"))
    approved = {"half": "2026H1", "consented_on": day("2026-07-15"), "document_no": "延政函〔2026〕20号", "items": both}
    story.tell("2026-07-15", review.CompensationApproved.model_validate(approved))
    released = tuple(pool.ReleasedItem.model_validate({**one, "half": "2026H1"}) for one in both)
    story.pool("2026-07-20", pool.PayoutNoticeIssued, notice_no="1号", items=released)
    for number, uscc, payee in (("D1", B, "guarantor-a"), ("D2", A, "bank-a")):
        item = pool.PayoutItem(
            kind="compensation", payee=payee, approved=PAID[uscc], uscc=uscc, loan_no=LOANS[uscc], lender="bank-a"
        )
        story.pool(
            "2026-07-20", pool.CompensationInstructed, uscc=uscc, loan_no=LOANS[uscc],
            disbursement_id=number, payee=payee,
            amount=PAID[uscc], shares={payee: PAID[uscc]}, item=item,
        )  # fmt: skip
    story.pool(
        "2026-07-21", pool.CompensationSettled, uscc=B, loan_no=LOANS[B], disbursement_id="D1", amount=PAID[B],
        bank_ref="B-1", payee="guarantor-a", lender="bank-a", recommender="scitech", verified_principal=VERIFIED[B],
        ratio=RATIO[B],
    )  # fmt: skip
    story.tell("2026-07-21", *_recovery_opened(B, "guarantor-a", "D1"))
    story.pool(
        "2026-07-22", pool.CompensationSettled, uscc=A, loan_no=LOANS[A], disbursement_id="D2", amount=PAID[A],
        bank_ref="B-2", payee="bank-a", lender="bank-a", recommender="scitech", verified_principal=VERIFIED[A],
        ratio=RATIO[A],
    )  # fmt: skip
    story.tell("2026-07-22", *_recovery_opened(A, "bank-a", "D2"))
    for uscc in (B, A):
        story.tell("2026-07-22", referral.CompensationCounted(department="scitech", year=2026, uscc=uscc))
    story.tell("2026-07-22", referral.DepartmentFlagged(department="scitech", year=2026, enterprises=(A, B)))


def _recovery_opened(uscc: str, payee: str, disbursement: str) -> Iterator[Event]:
    loan = {"uscc": uscc, "loan_no": LOANS[uscc]}
    yield recovery.RecoveryOpened.model_validate(
        {**loan, "payee": payee, "lender": "bank-a", "verified_principal": VERIFIED[uscc], "ratio": RATIO[uscc],
         "opened_on": day("2026-07-21")}
    )  # fmt: skip
    yield recovery.CompensationCredited(**loan, disbursement_id=disbursement, amount=PAID[uscc], paid=PAID[uscc])


def _recovered(story: Story) -> None:
    loan, share = {"uscc": A, "loan_no": LOANS[A]}, 50_000_050
    story.tell(
        "2026-09-10",
        recovery.RecoveryShared(
            **loan, amount=100_000_100, pool_share=share, institution_share=share, collected_on=day("2026-09-10"),
            due_on=day("2026-10-10"), by="bank-a",
        ),
    )  # fmt: skip
    story.tell("2026-10-11", recovery.RemittanceOverdue(**loan, amount=share, due_on=day("2026-10-10"), share_no=1))
    story.pool(
        "2026-10-20", pool.FundsBooked, purpose="recovery", uscc=A, loan_no=LOANS[A],
        amount=40_000_000, applied=40_000_000,
        bank_ref="R-1", received_on=day("2026-10-19"),
    )  # fmt: skip
    story.tell(
        "2026-10-20",
        recovery.RecoveryRemitted(
            **loan, amount=40_000_000, remitted=40_000_000, bank_ref="R-1", received_on=day("2026-10-19")
        ),
        recovery.WriteOffRequested(
            uscc=B, loan_no=LOANS[B], ground="bankruptcy", ruling_no="（2026）京01破1号", ruled_on=day("2026-10-01"),
            by="guarantor-a",
        ),
    )  # fmt: skip
    story.tell("2026-11-02", recovery.WriteOffApproved(uscc=B, loan_no=LOANS[B], amount=PAID[B]))
    story.pool("2026-11-02", pool.WriteOffBooked, uscc=B, loan_no=LOANS[B], amount=PAID[B])


def _premium(story: Story) -> None:
    policy = {"uscc": C, "loan_no": LOANS[C], "policy_no": "P-1"}
    story.tell(
        "2026-05-04",
        review.SubsidyApplied(
            **policy, insurer="insurer-a", premium=yuan(20_001), amount=1_000_050, paid_on=day("2026-05-01"),
            valid_to=day("2027-05-01"), applied_on=day("2026-05-04"),
        ),
    )  # fmt: skip
    story.pool("2026-05-06", pool.SubsidyReleased, **policy, amount=1_000_050)
    item = pool.PayoutItem(kind="subsidy", payee=NAMES[C], approved=1_000_050, uscc=C, policy_no="P-1")
    story.pool(
        "2026-05-06", pool.SubsidyInstructed, **policy, disbursement_id="D0", payee=NAMES[C], amount=1_000_050,
        item=item,
    )  # fmt: skip
    story.pool("2026-05-07", pool.SubsidySettled, **policy, disbursement_id="D0", amount=1_000_050, bank_ref="B-0")


def first_year() -> list[tuple[date, Event]]:
    """Two compensated loans, one insured; income, a subsidy, a recovery overdue in part, a write-off, a sanction."""
    story = Story()
    _agreements(story)
    story.pool("2026-01-06", pool.CapitalInjected, source="policy_fund", amount=yuan(15_000_000), bank_ref="C-1")
    story.pool("2026-01-07", pool.CapitalInjected, source="inclusive_award", amount=yuan(15_000_000), bank_ref="C-2")
    for uscc, on in ((A, "2026-01-12"), (B, "2026-02-02"), (C, "2026-04-13")):
        _referred(story, uscc, on)
    for uscc, on in ((A, "2026-01-26"), (B, "2026-02-20"), (C, "2026-04-27")):
        _lent(story, uscc, on)
    _premium(story)
    _claimed(story, B, "guarantor-a")
    _claimed(story, A, "bank-a")
    story.tell(
        "2026-06-20",
        review.InstitutionSanctioned(
            institution="guarantor-a", measure="reduce", reduction=Decimal("0.10"),
            reason=f"贷后检查不到位，责任人证号{IDENTITY}", sanctioned_on=day("2026-06-20"),
        ),
    )  # fmt: skip
    story.pool(
        "2026-06-30", pool.IncomeBooked, amount=12_345_678, period="2026H1", bank_ref="I-1", loss=False, by="custodian",
    )  # fmt: skip
    cash = story.fund.cash_fen
    story.pool("2026-06-30", pool.StatementReconciled, as_of=day("2026-06-30"), ledger=cash, statement=cash)
    _verified(story)
    _compensated(story)
    _recovered(story)
    story.pool(
        "2026-12-31", pool.IncomeBooked, amount=-1_000_001, period="2026H2", bank_ref="I-2", loss=True, by="custodian",
    )  # fmt: skip
    return story.told


async def take(connection: AsyncConnection, told: list[tuple[date, Event]], first_id: int = 1) -> None:
    """Project the events, each on its day."""
    for place, (on, event) in enumerate(told):
        name = type(event).__name__
        envelope = Envelope(
            specversion="1.0", id=str(uuid.UUID(int=place + first_id)), source=f"/services/{event.service}",
            type=type_of(name),
            subject=event.about, time=datetime.combine(on, time(9), SHANGHAI) + timedelta(seconds=place), scheme=SCHEME,
            correlationid=event.case, data=event.model_dump(mode="json"),
        )  # fmt: skip
        await project(connection, [(envelope, event)])
