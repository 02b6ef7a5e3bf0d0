"""The pages of the money side say what the API says, to those who may know it, and no vote before its time."""

import csv
import io
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Any

import httpx
import openpyxl
import pytest
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway import tables
from services.gateway.api.build import build_api
from services.gateway.auth import tokens
from services.gateway.console import forms
from services.gateway.queries import claims, fund_history, trail
from services.gateway.queries.write_offs import write_offs
from shared.clock import Clock
from shared.contracts import pool, recovery, review
from shared.contracts.base import Event, Why
from shared.contracts.partners import RecoveryStatement
from shared.messaging.service import Service
from shared.messaging.tables import institutions, receipts
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.console import HOST, person, sign_in
from tests.gateway.story import OTHER, SCHEME, USCC, day, take, yuan

YANQING = load_scheme("yanqing")
LOAN = {"uscc": USCC, "loan_no": "A-1"}
SEATS = ("drc", "finance", "scitech", "bank-b")


def claim(loan_no: str = "A-1", uscc: str = USCC, claimed: int = 2_500_000, **more: Any) -> Event:
    return review.ClaimAccepted.model_validate(
        {
            "uscc": uscc,
            "loan_no": loan_no,
            "claimant": "bank-a",
            "payee": "bank-a",
            "classified": "loss",
            "claimed": yuan(claimed),
            "base": yuan(claimed),
            "accepted_on": day("2026-06-10"),
            "accepted_at": "2026-06-10T09:00:00+08:00",
            **more,
        }
    )


def covered(seats: tuple[str, ...] = SEATS, **more: Any) -> Event:
    return story.covered(**more).model_copy(update={"seats": seats})


def vote(seat: str, opinion: Any = "approve", comment: str = "") -> Event:
    return review.ClaimVoteCast(**LOAN, seat=seat, opinion=opinion, comment=comment or None)


def round_opened(uscc: str = USCC) -> Event:
    return review.RatingRoundOpened(uscc=uscc, round=1, seats=SEATS, opened_on=day("2026-01-15"))


def batch_opened(*loan_nos: str) -> Event:
    return review.ClaimBatchOpened(half="2026H1", loan_nos=loan_nos or ("A-1",), opened_on=day("2026-07-01"))


def verified(amount: int = 2_400_000) -> Event:
    return review.ClaimVerified(
        **LOAN, half="2026H1", verified_principal=yuan(amount), ratio=Decimal("0.50"), decided_by="majority"
    )


UNDER_WAY = (story.referred(), story.opened(), round_opened(), covered(), claim(), batch_opened())


def injected(version: int, on: str, amount: int, **figures: Any) -> Event:
    return pool.CapitalInjected(
        on=day(on),
        entries=story.entries("cash", "capital:policy_fund", yuan(amount)),
        fund=story.fund(version, **figures),
        source="policy_fund",
        amount=yuan(amount),
        bank_ref=f"CAP-{version}",
    )


def figures(balance: int, counter: int, **more: Any) -> dict[str, Any]:
    lines = {"capital": 30_000_000, "pause_line": 21_000_000, "resume_line": 15_000_000}
    amounts = {"balance": balance, "cash": balance, "counter": counter, **lines}
    return {name: yuan(amount) for name, amount in amounts.items()} | more


@pytest.fixture
async def app(engine: AsyncEngine) -> FastAPI:
    """The whole gateway without a bus."""
    service = Service(name="gateway")
    service.clock, service.engine, service.schemes = Clock("message"), engine, {SCHEME: YANQING}
    made = FastAPI()
    build_api(made, service)
    async with engine.begin() as connection:
        for one, kind in (("bank-a", "bank"), ("bank-b", "bank"), ("bank-c", "bank"), ("custodian", "custodian")):
            term = {"valid_from": day("2026-01-01"), "valid_to": day("2031-12-31")}
            await connection.execute(insert(institutions).values(scheme=SCHEME, id=one, kind=kind, name=one, **term))
    return made


@asynccontextmanager
async def browser(
    app: FastAPI, engine: AsyncEngine, organisation: str, *roles: str
) -> AsyncIterator[httpx.AsyncClient]:
    login = f"{organisation}-{'-'.join(roles) or 'both'}"
    await person(engine, login, organisation, *(roles or ("officer", "head")))
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Accept-Language": "zh-CN"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, headers=headers) as client:
        assert (await sign_in(client, login)).status_code == 303
        yield client


async def api(app: FastAPI, engine: AsyncEngine, path: str, organisation: str = "drc") -> Any:
    async with engine.begin() as connection:
        _, token = await tokens.create(connection, SCHEME, organisation)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, headers=headers) as client:
        answer = await client.get(f"/v1/schemes/{SCHEME}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def happened(engine: AsyncEngine, *events: Event) -> None:
    async with engine.begin() as connection:
        await take(connection, events)


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    """What a person reads of a page."""
    answer = await client.get(path)
    assert answer.status_code == status, answer.text[-2000:]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))


async def html(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text[-2000:]
    return answer.text


def shown(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"


# -- claims


async def test_votes_on_a_claim_stay_hidden_until_every_seat_has_voted(app: FastAPI, engine: AsyncEngine) -> None:
    await happened(engine, *UNDER_WAY, vote("drc", "reject", "证据不足"), vote("bank-b", "approve"))
    for organisation, sees in (("finance", False), ("drc", True), ("bank-a", False)):
        async with browser(app, engine, organisation) as client:
            for path in ("/claims/2026H1", "/loans/A-1", "/audit?kind=ClaimVoteCast"):
                if organisation == "bank-a" and path.startswith("/audit"):
                    continue
                page = await read(client, path)
                assert ("证据不足" in page) is (sees and path == "/claims/2026H1"), (organisation, path)
    events = (await api(app, engine, "/events?after=0&type=ClaimVoteCast", "finance"))["items"]
    assert [one["data"].get("opinion") for one in events] == [None, None]


async def test_votes_are_read_by_all_parties_once_the_round_is_over(app: FastAPI, engine: AsyncEngine) -> None:
    cast = [vote("drc", "reject", "证据不足"), *(vote(seat) for seat in SEATS[1:])]
    await happened(engine, *UNDER_WAY, *cast, verified())
    for organisation in ("finance", "bank-a", "bank-b"):
        async with browser(app, engine, organisation) as client:
            assert "证据不足" in await read(client, "/claims/2026H1")


async def test_a_second_round_hides_its_own_votes_only(connection: AsyncConnection) -> None:
    first = [vote("drc", "reject", "一"), vote("finance", "reject", "二"), vote("scitech"), vote("bank-b")]
    await take(connection, [*UNDER_WAY, *first, review.ClaimRevoteOpened(**LOAN), vote("drc", "approve")])
    [one] = await claims.claims_of(connection, SCHEME, ["A-1"], party=None, viewer="finance")
    assert [(each.number, each.open) for each in one.rounds] == [(1, False), (2, True)]
    assert [each.opinion for each in one.rounds[0].votes] == ["reject", "reject", "approve", "approve"]
    assert [(each.cast, each.opinion) for each in one.rounds[1].votes] == [(True, "")] + [(False, "")] * 3
    assert (one.waits_for("finance"), one.waits_for("drc")) == (True, False)


async def test_a_seat_verifies_a_claim_of_another_bank_and_a_stranger_sees_nothing(
    app: FastAPI, engine: AsyncEngine
) -> None:
    await happened(engine, *UNDER_WAY)
    async with browser(app, engine, "bank-b") as client:
        page = await html(client, "/claims/2026H1")
        assert 'action="/do/VerifyClaim"' in page and 'href="/loans/A-1"' not in page
    async with browser(app, engine, "bank-c") as client:
        assert "A-1" not in await read(client, "/claims")
        await read(client, "/claims/2026H1", 404)
        await read(client, "/loans/A-1", 404)


async def test_claimed_and_verified_are_compared_and_the_compensation_is_computed(
    app: FastAPI, engine: AsyncEngine
) -> None:
    lowered = review.VerifiedPrincipalSet(**LOAN, amount=yuan(2_400_000), reason="差异十万元")
    sanction = review.InstitutionSanctioned(
        institution="bank-a",
        measure="reduce",
        reduction=Decimal("0.10"),
        reason="失职",
        sanctioned_on=day("2026-06-20"),
    )
    await happened(engine, *UNDER_WAY, sanction, lowered)
    async with browser(app, engine, "drc") as client:
        page = await read(client, "/claims/2026H1")
    assert "2,500,000.00" in page and "▼ 100,000.00" in page and "差异十万元" in page
    assert "10%" in page and "1,080,000.00" in page


async def test_the_government_consents_item_by_item_without_script(app: FastAPI, engine: AsyncEngine) -> None:
    submitted = review.ClaimBatchSubmitted(half="2026H1", loan_nos=("A-1",))
    await happened(engine, *UNDER_WAY, verified(), submitted)
    async with browser(app, engine, "government") as client:
        page = await html(client, "/claims/2026H1")
    sent = dict(re.findall(r'name="(excluded\.0\.[^"]+)"[^>]*?(?:value="([^"]*)")?>', page))
    assert sent["excluded.0.loan_no"] == "A-1"
    fields = forms.form_of("ConsentClaimBatch").fields
    posted = {"half": ["2026H1"], "decision": ["consent"], "document_no": ["20号"]}
    posted |= {"excluded.0._ask": ["1"], "excluded.0.loan_no": ["A-1"], "excluded.0.reason": [""]}
    assert "excluded" not in forms.read(fields, posted)
    posted |= {"excluded.0._use": ["1"], "excluded.0.reason": ["材料不实"]}
    assert forms.read(fields, posted)["excluded"] == [{"loan_no": "A-1", "reason": "材料不实"}]
    async with browser(app, engine, "government", "officer") as client:
        assert 'action="/do/ConsentClaimBatch"' not in await html(client, "/claims/2026H1")


async def test_statements_that_a_claim_needs_are_valid_late_or_missing(connection: AsyncConnection) -> None:
    given = (RecoveryStatement(loan_no="A-1", as_of=day("2026-09-01"), text="已起诉"),)
    await take(
        connection,
        [
            *UNDER_WAY,
            story.instructed(1, "A-1", yuan(10)),
            story.settled(2, "A-1", yuan(10)),
            covered(loan_no="A-2", uscc=OTHER),
        ],
    )
    assert [one.state for one in await statements(connection, "2026-09-02")] == ["missing"]
    await take(connection, [claim("A-2", OTHER, recovery_statements=given)])
    found = await statements(connection, "2026-11-30")
    assert [(one.state, str(one.valid_until)) for one in found] == [("valid", "2026-11-30")]
    assert [one.state for one in await statements(connection, "2026-12-01")] == ["late"]


async def statements(connection: AsyncConnection, today: str) -> list[claims.Statement]:
    return await claims.statements(connection, SCHEME, "bank-a", day(today), 90)


# -- the pool and its ledger


async def test_the_pool_says_why_it_is_paused_and_what_must_happen(app: FastAPI, engine: AsyncEngine) -> None:
    owed = {"compensated_gross": yuan(21_600_000), "recovered": yuan(1_000_000), "state": "paused"}
    paused = pool.PoolPaused(
        on=day("2026-07-20"), fund=story.fund(3, **figures(9_400_000, 21_000_000, **owed)), counter=yuan(21_000_000),
        line=yuan(21_000_000), why=Why(rule="pool.pause", clause="三(八)"),
    )  # fmt: skip
    await happened(engine, injected(1, "2026-01-06", 30_000_000, **figures(30_000_000, 0)), paused)
    async with browser(app, engine, "drc") as client:
        page = await read(client, "/pool")
    assert "自 2026-07-20 起暂停代偿" in page
    assert "还差 5,600,000.00 元" in page and "现为 20,600,000.00 元，已满足" in page
    told = await api(app, engine, "/pool")
    for name in ("balance", "counter", "pause_line", "resume_line", "cash", "exposure"):
        assert shown(told[name]) in page, name


async def test_a_counter_that_would_stay_at_its_line_asks_for_more_to_come_back(connection: AsyncConnection) -> None:
    owed = {"compensated_gross": yuan(27_000_000), "recovered": yuan(6_000_000), "state": "paused"}
    await take(connection, [injected(1, "2026-01-06", 1, **figures(9_000_000, 21_000_000, **owed))])
    found = await fund_history.restart(connection, YANQING)
    assert found == fund_history.Restart(yuan(6_000_000), yuan(21_000_000), 1)


async def test_the_curve_is_the_last_of_each_day_and_every_pause(connection: AsyncConnection) -> None:
    def at(version: int, on: str, balance: int) -> Event:
        return injected(version, on, 1, **figures(balance, 0))

    moment = pool.PoolPaused(
        on=day("2026-01-07"), fund=story.fund(4, **figures(4, 21_000_000)), counter=yuan(21_000_000), line=1
    )
    days = [at(1, "2026-01-06", 1), at(2, "2026-01-06", 2), at(3, "2026-01-07", 3), moment, at(5, "2026-01-07", 5)]
    await take(connection, days)
    points = await fund_history.curve(connection, SCHEME)
    assert [(str(one.on), one.balance_fen // 100, one.event) for one in points] == [
        ("2026-01-06", 2, ""),
        ("2026-01-07", 4, "PoolPaused"),
        ("2026-01-07", 5, ""),
    ]
    assert [one.balance_fen // 100 for one in fund_history.month_ends(points)] == [4, 5]


async def test_the_custodian_confirms_each_transfer_with_a_form_of_its_own(app: FastAPI, engine: AsyncEngine) -> None:
    await happened(
        engine, injected(1, "2026-01-06", 30, **figures(30_000_000, 0)), story.notice(2, story.item("A-1", yuan(9))),
        story.instructed(3, "A-1", yuan(4), "D1"), story.instructed(4, "A-1", yuan(5), "D2"),
    )  # fmt: skip
    async with browser(app, engine, "custodian") as client:
        page = await html(client, "/pool")
    assert page.count('action="/do/TransferSettled"') == page.count('action="/do/TransferReturned"') == 2
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert sorted(ids) == sorted(set(ids))
    assert "/why/" not in page and "/loans/" not in page


async def test_the_ledger_carries_its_totals_over_pages(app: FastAPI, engine: AsyncEngine) -> None:
    await happened(engine, *(injected(n, "2026-01-06", 10, **figures(n, 0)) for n in range(1, 61)))
    async with browser(app, engine, "drc") as client:
        first = await html(client, "/ledger")
        following = unescape(re.search(r'rel="next" href="([^"]+)"', first)[1])  # type: ignore[index]
        second = await read(client, following)
        balance = await read(client, "/ledger?account=cash&since=2026-01-06&until=2026-01-06")
        await read(client, "/ledger?since=yesterday", 422)
    assert "承前页 500.00 500.00" in second and "本页合计 100.00 100.00" in second
    assert "累计至本页 600.00 600.00" in second
    assert "全部 60 条分录 600.00 0.00 600.00" in balance


async def test_the_ledgers_files_hold_numbers_and_no_formulas(app: FastAPI, engine: AsyncEngine) -> None:
    evil = injected(1, "2026-01-06", 10, **figures(10, 0)).model_copy(update={"bank_ref": '=HYPERLINK("x")'})
    await happened(engine, evil)
    async with browser(app, engine, "finance") as client:
        sheet = await client.get("/ledger.xlsx")
        text = await client.get("/ledger.csv?account=cash")
        assert (await client.get("/ledger.pdf")).status_code == 404
    assert "attachment" in sheet.headers["content-disposition"]
    rows = list(openpyxl.load_workbook(io.BytesIO(sheet.content)).active.iter_rows(values_only=True))
    assert rows[1][0].date() == date(2026, 1, 6) and rows[1][4] == 10 and rows[2][5] == 10
    cells = openpyxl.load_workbook(io.BytesIO(sheet.content)).active
    assert cells["C2"].data_type == "s" and cells["C2"].value == '=HYPERLINK("x")'
    [_, row] = csv.reader(io.StringIO(text.content.decode("utf-8-sig")))
    assert row[2] == '\'=HYPERLINK("x")' and row[4] == "10.00"


# -- loans, recovery, duties


async def test_a_loans_page_tells_its_whole_life_with_the_apis_figures(app: FastAPI, engine: AsyncEngine) -> None:
    await happened(engine, *(one for part in story.life().values() for one in part))
    told = await api(app, engine, "/loans/A-1")
    async with browser(app, engine, "bank-a") as client:
        page = await read(client, "/loans/A-1")
        assert "A-1" in await read(client, "/loans?status=compensated")
        assert "没有符合条件的贷款" in await read(client, "/loans?status=covered")
    amounts = (told["outstanding"], told["claim"]["claimed"], *told["compensation"].values())
    for amount in (*amounts, told["recovery"]["collected"], told["recovery"]["overdue"]):
        assert shown(amount) in page, amount


async def test_a_write_off_shows_who_approved_and_who_is_missing(app: FastAPI, engine: AsyncEngine) -> None:
    asked = recovery.WriteOffRequested(
        **LOAN, ground="bankruptcy", ruling_no="破1号", ruled_on=day("2026-11-01"), by="bank-a"
    )
    opened = story.life()["recovery"][0]
    await happened(engine, story.covered(), opened, asked, recovery.WriteOffApproval(**LOAN, by="drc"))
    async with engine.connect() as connection:
        [one] = await write_offs(connection, SCHEME, party=None)
        assert [unit for unit, _ in one.approved_by] == ["drc"] and one.missing == ("finance",)
        assert await write_offs(connection, SCHEME, party="bank-b") == []
    for organisation, asked_for in (("drc", False), ("finance", True), ("bank-a", False)):
        async with browser(app, engine, organisation) as client:
            assert ('action="/do/ApproveWriteOff"' in await html(client, "/recoveries")) is asked_for
    refused = recovery.WriteOffRefused(**LOAN, by="finance", reason="尚可执行")
    await happened(engine, refused, asked)
    async with engine.connect() as connection:
        again = await write_offs(connection, SCHEME, party=None, loan_no="A-1")
    assert [(each.state, each.missing) for each in again] == [("open", ("drc", "finance")), ("refused", ("finance",))]


async def test_duties_show_what_is_overdue_first_and_offer_the_form_to_who_owes_it(
    app: FastAPI, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(tables.business_days).values(scheme=SCHEME, date=day("2027-02-02")))
    told = (await api(app, engine, "/obligations"))["items"]
    async with browser(app, engine, "drc") as client:
        page = await html(client, "/obligations")
        late = await read(client, "/obligations?state=overdue&kind=recovery_half_year")
    assert f'<a href="/obligations?state=overdue">{sum(one["state"] == "overdue" for one in told)}</a>' in page
    filed = re.findall(r'name="period" value="([^"]+)"', page)
    assert filed == [
        one["period"] for one in told if one["kind"] == "recovery_half_year" and one["due_on"] <= "2027-02-28"
    ]
    assert "季度推荐任务" not in late.partition("截至")[2].partition("筛选")[2]
    async with browser(app, engine, "custodian") as client:
        assert "区发展改革委" not in (await read(client, "/obligations")).partition("截至")[2]


# -- the trail


async def test_an_event_is_shown_with_what_led_to_it_and_what_followed(connection: AsyncConnection) -> None:
    await take(connection, [story.referred(), story.admitted(), story.opened(), story.rated()])
    ids = {row.type: row.id for row in (await trail.trail(connection, SCHEME)).items}
    chained = ("EnterpriseReferred", "EnterpriseAdmitted", "CaseOpened", "EnterpriseRated")
    for cause, effect in itertools.pairwise(chained):
        changed = tables.events.update().where(tables.events.c.id == ids[effect])
        await connection.execute(changed.values(causation_id=ids[cause]))
    event = await trail.one_event(connection, SCHEME, ids["EnterpriseAdmitted"])
    assert event is not None
    found = await trail.chain(connection, event)
    assert [(one.event.type, one.depth) for one in found] == list(zip(chained, (-1, 0, 1, 2), strict=True))
    mine = await trail.trail(connection, SCHEME, about=USCC, kind="CaseOpened")
    assert [row.type for row in mine.items] == ["CaseOpened"]
    first = await trail.trail(connection, SCHEME, limit=3)
    rest = await trail.trail(connection, SCHEME, limit=3, cursor=first.next_cursor)
    assert (len(first.items), len(rest.items), rest.next_cursor) == (3, 1, None)


async def test_who_did_what_is_for_auditors_and_the_commissions_head(app: FastAPI, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        row = {"scheme": SCHEME, "organisation": "finance", "account": None, "outcome": "refused"}
        row |= {"action": "InjectCapital", "about": "CAP-9", "rule": "pool.capital"}
        await connection.execute(insert(tables.actions).values(**row, at=Clock.now()))
    for organisation, role, status in (
        ("drc", "head", 200), ("drc", "officer", 403), ("drc", "auditor", 200), ("finance", "head", 403),
        ("finance", "auditor", 200),
    ):  # fmt: skip
        async with browser(app, engine, organisation, role) as client:
            page = await read(client, "/audit/actions", status)
            assert ("CAP-9" in page) is (status == 200)


async def test_institutions_read_their_own_receipts_only(app: FastAPI, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for number, one in enumerate(("bank-a", "bank-b")):
            row = {"scheme": SCHEME, "institution": one, "event_id": f"{one}-1", "event_name": "LoanRepaid"}
            row |= {"outcome": "accepted", "at": Clock.now(), "stream_seq": number}
            known = {name: value for name, value in row.items() if name in receipts.c}
            await connection.execute(insert(receipts).values(**known))
    async with browser(app, engine, "bank-a") as client:
        page = await read(client, "/receipts?institution=bank-b")
        assert "bank-a-1" in page and "bank-b-1" not in page
    async with browser(app, engine, "drc") as client:
        assert "bank-b-1" in await read(client, "/receipts?institution=bank-b")


async def test_insurers_departments_and_operators_reach_what_is_theirs(app: FastAPI, engine: AsyncEngine) -> None:
    pages = ("/claims", "/loans", "/pool", "/ledger", "/recoveries", "/obligations", "/audit", "/receipts")
    allowed = {
        "scitech": set(pages),
        "bank-a": {"/claims", "/loans", "/recoveries", "/receipts"},
        "custodian": {"/pool", "/ledger", "/obligations", "/receipts"},
        "operator": set(),
    }
    for organisation, own in allowed.items():
        async with browser(app, engine, organisation) as client:
            reached = {path for path in pages if (await client.get(path)).status_code == 200}
        assert reached == own, organisation
