"""An institution finds its part of the payout queue and its default ratio, agencies too, another institution never."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway.api.build import build_api
from services.gateway.auth import tokens
from services.gateway.console.words import say
from services.gateway.queries.lending import defaults
from services.gateway.queries.pool import pool, queue_of
from shared.clock import Clock
from shared.contracts import pool as contract
from shared.contracts import review
from shared.contracts.base import Event
from shared.messaging.service import Service
from shared.messaging.tables import institutions
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.console import HOST, person, sign_in
from tests.gateway.story import OTHER, SCHEME, USCC, day, held, instructed, notice, returned, take, yuan

THIRD = "93110119MA00NY013F"


def covered(loan_no: str, bank: str, uscc: str, **more: Any) -> Event:
    """A covered loan of three million of this bank."""
    made = story.covered(loan_no, uscc, payee=bank)
    return made.model_copy(update={"lender": bank, **more})


def claimed(loan_no: str, bank: str, uscc: str) -> Event:
    return review.ClaimAccepted(
        uscc=uscc, loan_no=loan_no, claimant=bank, payee=bank, classified="loss", claimed=yuan(2_000_000),
        base=yuan(2_000_000), accepted_on=day("2026-06-10"), accepted_at="2026-06-10T09:00:00+08:00",
    )  # fmt: skip


def item(loan_no: str, bank: str, uscc: str, amount: int) -> dict[str, Any]:
    return {**story.item(loan_no, yuan(amount), uscc), "payee": bank, "lender": bank}


def approved(*items: dict[str, Any]) -> Event:
    return review.CompensationApproved.model_validate(
        {"half": "2026H1", "consented_on": day("2026-07-15"), "document_no": "20号", "items": items}
    )


ITEMS = (item("A-1", "bank-a", USCC, 300_000), item("B-1", "bank-b", OTHER, 200_000))
LATER = item("B-2", "bank-b", THIRD, 100_000)
# bank-a has one loan, claimed and held at the line; bank-b one held behind it, one consented to, one that goes well.
STORY = (
    story.referred(), covered("A-1", "bank-a", USCC), covered("B-1", "bank-b", OTHER), covered("B-2", "bank-b", THIRD),
    covered("B-3", "bank-b", "91110119MB000003XX", principal=yuan(1_000_000)),
    claimed("A-1", "bank-a", USCC), claimed("B-1", "bank-b", OTHER), claimed("B-2", "bank-b", THIRD),
    approved(*ITEMS, LATER), notice(1, *ITEMS), held(2, "A-1", yuan(300_000), "line"),
    contract.CompensationHeld(
        on=day("2026-07-20"), fund=story.fund(3), uscc=OTHER, loan_no="B-1", amount=yuan(200_000), reason="paused"
    ),
)  # fmt: skip


@pytest.fixture
async def app(engine: AsyncEngine) -> FastAPI:
    """The whole gateway without a bus, after the story."""
    service = Service(name="gateway")
    service.clock, service.engine, service.schemes = Clock("message"), engine, {SCHEME: load_scheme("yanqing")}
    made = FastAPI()
    build_api(made, service)
    async with engine.begin() as connection:
        for one, kind in (("bank-a", "bank"), ("bank-b", "bank"), ("custodian", "custodian")):
            term = {"valid_from": date(2026, 1, 1), "valid_to": date(2031, 12, 31)}
            await connection.execute(insert(institutions).values(scheme=SCHEME, id=one, kind=kind, name=one, **term))
            signed = {"institution": one, "kind": kind, "name": f"{one}支行", "products": ("bank",), **term}
            await take(connection, [review.AgreementSigned.model_validate(signed)])
        await take(connection, STORY)
    return made


async def told(app: FastAPI, engine: AsyncEngine, organisation: str, institution: str, status: int = 200) -> Any:
    """What the API says of an institution to a program of an organisation."""
    async with engine.begin() as connection:
        _, token = await tokens.create(connection, SCHEME, organisation)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, headers=headers) as client:
        answer = await client.get(f"/v1/schemes/{SCHEME}/institutions/{institution}")
    assert answer.status_code == status, answer.text
    return answer.json()


@asynccontextmanager
async def browser(
    app: FastAPI, engine: AsyncEngine, organisation: str, role: str, language: str = "zh-CN"
) -> AsyncIterator[httpx.AsyncClient]:
    await person(engine, f"{organisation}-{role}", organisation, role)
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Accept-Language": language}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, headers=headers) as client:
        assert (await sign_in(client, f"{organisation}-{role}")).status_code == 303
        yield client


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text[-2000:]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))


async def test_a_bank_is_told_its_places_with_reason_and_rule(app: FastAPI, engine: AsyncEngine) -> None:
    mine, theirs = await told(app, engine, "bank-a", "bank-a"), await told(app, engine, "bank-b", "bank-b")
    shown = [[one[name] for name in ("loan_no", "place", "of", "amount", "reason", "rule")] for one in theirs["queue"]]
    assert [(one["loan_no"], one["place"], one["rule"]) for one in mine["queue"]] == [("A-1", 1, "pool.crossing")]
    assert shown == [
        ["B-1", 2, 2, "200000.00", "paused", "pool.pause"],
        ["B-2", None, 2, "100000.00", "notice", "pool.notice"],
    ]


async def test_a_bank_is_told_its_default_ratio_by_number_and_principal(app: FastAPI, engine: AsyncEngine) -> None:
    assert (await told(app, engine, "bank-b", "bank-b"))["defaults"] == {
        "rule": "claim.classified", "loans": 3, "principal": "7000000.00", "defaulted": 2,
        "defaulted_principal": "6000000.00", "ratio": "0.6667", "principal_ratio": "0.8571",
    }  # fmt: skip
    assert (await told(app, engine, "bank-a", "bank-a"))["defaults"]["ratio"] == "1.00"
    assert (await told(app, engine, "custodian", "custodian"))["defaults"]["ratio"] is None


async def test_agencies_are_told_and_another_institution_is_not(app: FastAPI, engine: AsyncEngine) -> None:
    for agency in ("drc", "finance", "government", "scitech"):
        assert [one["loan_no"] for one in (await told(app, engine, agency, "bank-a"))["queue"]] == ["A-1"]
    for other in ("bank-b", "custodian", "operator", "stranger"):
        assert (await told(app, engine, other, "bank-a", 403))["rule"] == "permission"
    assert (await told(app, engine, "drc", "nobody", 404))["rule"] == "unknown"


@pytest.mark.parametrize("role", ["officer", "auditor"])
async def test_a_banks_people_find_it_on_their_institutions_page(app: FastAPI, engine: AsyncEngine, role: str) -> None:
    async with browser(app, engine, "bank-b", role) as client:
        assert 'href="/institutions/bank-b"' in (await client.get("/")).text
        page = await read(client, "/institutions/bank-b")
        assert "2 / 2" in page and "200,000.00" in page and "资金池暂停代偿 pool.pause" in page
        assert "等待代偿通知 pool.notice" in page and "66.7%" in page and "claim.classified" in page
        assert "A-1" not in page and "300,000.00" not in page
        await read(client, "/institutions/bank-a", 403)


async def test_the_commissions_auditors_and_finance_read_it_in_english_too(app: FastAPI, engine: AsyncEngine) -> None:
    for organisation, role in (("drc", "auditor"), ("finance", "officer")):
        async with browser(app, engine, organisation, role, "en") as client:
            page = await read(client, "/institutions/bank-b")
            assert say("en", "本机构的待付款项") in page and "Waits for a payout notice" in page and "85.7%" in page


async def test_who_only_administers_accounts_sees_neither(app: FastAPI, engine: AsyncEngine) -> None:
    async with browser(app, engine, "bank-b", "admin") as client:
        page = await read(client, "/institutions/bank-b")
    assert "bank-b支行" in page and "B-1" not in page and "66.7%" not in page


async def test_a_returned_transfer_waits_at_the_head(connection: AsyncConnection) -> None:
    paid = (instructed(4, "A-1", yuan(300_000)), returned(5, "A-1", yuan(300_000)))
    await take(connection, [*STORY[:-2], *paid])
    [mine] = await queue_of(connection, SCHEME, "bank-a")
    assert (mine.place, mine.of, mine.reason, mine.rule) == (1, 2, "returned", "pool.custodian")
    assert [one.loan_no for one in (await pool(connection, SCHEME)).held] == ["A-1", "B-1"]


async def test_a_guaranteed_loan_counts_for_lender_and_guarantor(connection: AsyncConnection) -> None:
    guaranteed = {"product": "guarantee", "guarantor": "guarantor-a", "guarantor_share": Decimal("0.80")}
    released = {**item("A-1", "guarantor-a", USCC, 300_000), "lender": "bank-a", "guarantor": "guarantor-a"}
    await take(connection, [covered("A-1", "bank-a", USCC, payee="guarantor-a", **guaranteed), notice(1, released)])
    for party in ("bank-a", "guarantor-a"):
        assert [one.payee for one in await queue_of(connection, SCHEME, party)] == ["guarantor-a"]
        assert (await defaults(connection, SCHEME, party)).loans == 1
    assert await queue_of(connection, SCHEME, "bank-b") == []
