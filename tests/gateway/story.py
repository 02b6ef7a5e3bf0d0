"""Events of a loan's life as the four services publish them, for the projections' tests."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.dispatch import project
from shared.clock import SHANGHAI
from shared.contracts import commands, pool, recovery, referral, review
from shared.contracts.base import Event, Finding
from shared.messaging.envelope import Envelope, type_of

SCHEME = "yanqing"
USCC = "91110119MA01ABC17J"
OTHER = "91110119MA7XK2Q34P"
START = datetime(2026, 1, 5, 9, tzinfo=SHANGHAI)


def day(text: str) -> date:
    return date.fromisoformat(text)


def yuan(amount: int) -> int:
    return amount * 100


PERSON = commands.Person(name="赵一", id="110229198001010011")


def referred(uscc: str = USCC, on: str = "2026-01-12", attempt: int = 1, sector: str = "low_altitude") -> Event:
    application = commands.Application(
        name="甲公司",
        industry="industrial",
        sector=sector,
        region="110119",
        registration="active",
        legal_representative=PERSON,
        actual_controller=PERSON,
        shareholders=(commands.Shareholder(name="赵一", id=PERSON.id, share=Decimal(1)),),
        project="项目",
        need=yuan(3_000_000),
        purpose="周转",
        letter_no="1号",
        materials=("tax",),
    )
    finding = Finding(rule="eligible.registered", clause="二(一)", result="pass")
    return referral.EnterpriseReferred(
        uscc=uscc,
        recommender="scitech",
        referred_on=day(on),
        application=application,
        size="small",
        findings=(finding,),
        attempt=attempt,
    )


def admitted(uscc: str = USCC, on: str = "2026-01-14") -> Event:
    return referral.EnterpriseAdmitted(
        uscc=uscc,
        name="甲公司",
        recommender="scitech",
        need=yuan(3_000_000),
        need_waived=False,
        sector="low_altitude",
        legal_representative=PERSON,
        affiliates=(),
        shareholders=(),
        findings=(),
        admitted_on=day(on),
    )


def opened(uscc: str = USCC, on: str = "2026-01-14") -> Event:
    return review.CaseOpened(
        uscc=uscc,
        name="甲公司",
        recommender="scitech",
        need=yuan(3_000_000),
        affiliates=(),
        shareholders=(),
        admitted_on=day(on),
    )


def rated(grade: Any = "medium", ratio: str = "0.50", uscc: str = USCC, on: str = "2026-01-19") -> Event:
    return review.EnterpriseRated.model_validate_json(
        f'{{"uscc": "{uscc}", "grade": "{grade}", "ratio": "{ratio}", "round": 1, "decided_by": "majority",'
        f' "rated_on": "{on}", "quota_year": {"2026" if grade == "high" else "null"}}}'
    )


def pushed(*institutions: str, uscc: str = USCC) -> Event:
    return review.FinancingPushed(
        uscc=uscc,
        product="bank",
        institutions=institutions,
        pushed_on=day("2026-01-20"),
        deadline_on=day("2026-03-09"),
        provisional=False,
        preference=(),
    )


def covered(loan_no: str = "A-1", uscc: str = USCC, ratio: str = "0.50", payee: str | None = "bank-a") -> Event:
    return review.LoanCovered.model_validate(
        {
            "uscc": uscc,
            "loan_no": loan_no,
            "lender": "bank-a",
            "product": "bank" if payee else "insurance",
            "principal": yuan(3_000_000),
            "ratio": Decimal(ratio),
            "payee": payee,
            "recommender": "scitech",
            "seats": ("drc", "bank-a"),
            "annual_rate": Decimal("0.04"),
            "disbursed_on": day("2026-01-26"),
            "matures_on": day("2027-01-25"),
        }
    )


def fund(version: int, **figures: Any) -> pool.FundFigures:
    zero = {name: 0 for name in pool.FundFigures.model_fields if name not in ("version", "state")}
    return pool.FundFigures.model_validate({**zero, "version": version, "state": "active", **figures})


def entries(debit: str, credit: str, amount: int) -> tuple[pool.Entry, ...]:
    return (pool.Entry(account=debit, amount=amount), pool.Entry(account=credit, amount=-amount))


def item(loan_no: str, amount: int, uscc: str = USCC) -> dict[str, Any]:
    return {
        "loan_no": loan_no,
        "uscc": uscc,
        "payee": "bank-a",
        "lender": "bank-a",
        "recommender": "scitech",
        "verified_principal": amount * 2,
        "ratio": Decimal("0.50"),
        "reduction": Decimal(0),
        "amount": amount,
    }


def notice(version: int, *items: dict[str, Any], on: str = "2026-07-20") -> Event:
    released = tuple(pool.ReleasedItem.model_validate({**one, "half": "2026H1"}) for one in items)
    return pool.PayoutNoticeIssued(on=day(on), fund=fund(version), notice_no="1号", items=released)


def instructed(version: int, loan_no: str, amount: int, disbursement_id: str = "D1", **figures: Any) -> Event:
    return pool.CompensationInstructed(
        on=day("2026-07-20"),
        entries=entries("instructed", "cash", amount),
        fund=fund(version, **figures),
        uscc=USCC,
        loan_no=loan_no,
        disbursement_id=disbursement_id,
        payee="bank-a",
        amount=amount,
        shares={"bank-a": amount},
    )


def held(version: int, loan_no: str, amount: int, reason: Any = "line") -> Event:
    return pool.CompensationHeld(
        on=day("2026-07-20"), fund=fund(version), uscc=USCC, loan_no=loan_no, amount=amount, reason=reason
    )


def settled(version: int, loan_no: str, amount: int, disbursement_id: str = "D1") -> Event:
    return pool.CompensationSettled(
        on=day("2026-07-21"),
        fund=fund(version),
        uscc=USCC,
        loan_no=loan_no,
        disbursement_id=disbursement_id,
        amount=amount,
        bank_ref="B1",
        payee="bank-a",
        lender="bank-a",
        recommender="scitech",
        verified_principal=amount * 2,
        ratio=Decimal("0.50"),
    )


def returned(version: int, loan_no: str, amount: int, disbursement_id: str = "D1") -> Event:
    return pool.DisbursementReturned(
        on=day("2026-07-22"),
        fund=fund(version),
        disbursement_id=disbursement_id,
        kind="compensation",
        uscc=USCC,
        loan_no=loan_no,
        amount=amount,
        reason="账号有误",
    )


def life() -> dict[str, list[Event]]:
    """One loan from referral to write-off, by publisher and each publisher's in order."""
    claim = review.ClaimAccepted(
        uscc=USCC,
        loan_no="A-1",
        claimant="bank-a",
        payee="bank-a",
        classified="loss",
        claimed=yuan(2_500_000),
        base=yuan(2_500_000),
        accepted_on=day("2026-06-10"),
        accepted_at="2026-06-10T09:00:00+08:00",
    )
    approved = review.CompensationApproved.model_validate(
        {
            "half": "2026H1",
            "consented_on": day("2026-07-15"),
            "document_no": "20号",
            "items": (item("A-1", yuan(1_250_000)),),
        }
    )
    loan = {"uscc": USCC, "loan_no": "A-1"}
    shared = recovery.RecoveryShared(
        **loan,
        amount=yuan(1_000_000),
        pool_share=yuan(500_000),
        institution_share=yuan(500_000),
        collected_on=day("2026-08-31"),
        due_on=day("2026-09-30"),
        by="bank-a",
    )
    return {
        "referral": [referred(), admitted()],
        "review": [
            opened(),
            review.RatingRoundOpened(
                uscc=USCC, round=1, seats=("drc", "finance", "bank-b"), opened_on=day("2026-01-15")
            ),
            rated(),
            pushed("bank-a"),
            covered(),
            review.PrincipalRepaid(
                **loan, amount=yuan(500_000), outstanding=yuan(2_500_000), repaid_on=day("2026-05-20")
            ),
            claim,
            approved,
        ],
        "pool": [
            notice(1, item("A-1", yuan(1_250_000))),
            instructed(2, "A-1", yuan(1_000_000)),
            held(3, "A-1", yuan(250_000)),
            settled(4, "A-1", yuan(1_000_000)),
        ],
        "recovery": [
            recovery.RecoveryOpened(
                **loan,
                payee="bank-a",
                lender="bank-a",
                verified_principal=yuan(2_500_000),
                ratio=Decimal("0.50"),
                opened_on=day("2026-07-21"),
            ),
            shared,
            recovery.RemittanceOverdue(**loan, amount=yuan(500_000), due_on=day("2026-09-30")),
            recovery.RecoveryRemitted(
                **loan, amount=yuan(400_000), remitted=yuan(400_000), bank_ref="R-1", received_on=day("2026-10-10")
            ),
            recovery.WriteOffApproved(**loan, amount=yuan(600_000)),
        ],
    }


async def take(connection: AsyncConnection, events: Iterable[Event], scheme: str = SCHEME) -> None:
    """Hand events to the projections as the core does: once each, in the order given."""
    for place, event in enumerate(events):
        name = type(event).__name__
        envelope = Envelope(
            specversion="1.0",
            id=str(uuid.uuid4()),
            source=f"/services/{event.service}",
            type=type_of(name),
            subject=event.about,
            time=START + timedelta(minutes=place),
            scheme=scheme,
            correlationid=event.case,
            data=event.model_dump(mode="json"),
        )
        await project(connection, [(envelope, event)])


def interleaved(parts: dict[str, list[Event]], turns: Sequence[str]) -> list[Event]:
    """The publishers' events merged by whose turn it is; each publisher's own order stays."""
    left = {name: list(events) for name, events in parts.items()}
    order = [left[name].pop(0) for name in turns if left.get(name)]
    return order + [event for events in left.values() for event in events]
