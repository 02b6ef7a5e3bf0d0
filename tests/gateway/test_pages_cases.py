"""Pages of the case side: votes secret while a ballot is open, the need list and its files, who sees and does what."""

import csv
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import openpyxl
import pytest
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.api import problems
from services.gateway.api.events import Feed, event_routes
from services.gateway.api.resources import resource_routes
from services.gateway.api.shutdown import Closing
from services.gateway.auth import people, sessions, tokens
from services.gateway.console import cases, financing, organisations, review, scheme
from services.gateway.console.build import presenter
from services.gateway.console.financing import working_days_left
from services.gateway.console.shell import Shell
from services.gateway.console.steps import STEPS, steps_of
from services.gateway.console.words import LOCALE, catalogue
from services.gateway.policy import GatewayPolicy
from services.gateway.queries.cases import one_case
from services.gateway.queries.loans import one_loan
from shared.clock import Clock
from shared.contracts import referral
from shared.contracts import review as panel
from shared.contracts.base import Event
from shared.contracts.registry import EVENTS
from shared.messaging.service import Service
from shared.messaging.tables import institutions
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.story import OTHER, SCHEME, USCC, day, take

YANQING = load_scheme("yanqing")
SEATS = ("drc", "finance", "scitech", "bank-a")
SECRET = "谁也不该看到的意见"
API = f"/v1/schemes/{SCHEME}"


@pytest.fixture
async def app(engine: AsyncEngine) -> FastAPI:
    service = Service(name="gateway")
    service.clock, service.engine, service.schemes = Clock(), engine, {SCHEME: YANQING}
    application, feed = FastAPI(), Feed(service, Closing())
    shell = Shell(service, feed)
    problems.install(application, presenter(shell))
    for area in (cases, review, financing, organisations, scheme):
        application.include_router(area.routes(shell))
    application.include_router(resource_routes(service))
    application.include_router(event_routes(service, feed))
    async with engine.begin() as connection:
        kinds = {"bank-a": "bank", "bank-b": "bank", "insurer-a": "insurer"}
        term = {"valid_from": date(2026, 1, 1), "valid_to": date(2099, 12, 31)}
        known = [{"scheme": SCHEME, "id": one, "kind": kind, "name": one, **term} for one, kind in kinds.items()]
        await connection.execute(insert(institutions), known)
        await take(connection, [signed(one, kind) for one, kind in kinds.items()])
    return application


def signed(institution: str, kind: Any) -> Event:
    return panel.AgreementSigned(
        institution=institution, kind=kind, name=f"{institution}支行", valid_from=date(2026, 1, 1),
        valid_to=date(2099, 12, 31), products=("insurance",) if kind == "insurer" else ("bank",),
    )  # fmt: skip


async def happens(engine: AsyncEngine, *events: Event) -> None:
    async with engine.begin() as connection:
        await take(connection, events)


@asynccontextmanager
async def person(
    engine: AsyncEngine, app: FastAPI, organisation: str, *roles: str, **headers: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which somebody of an organisation has signed in."""
    async with engine.begin() as connection:
        login = f"{organisation}-{'-'.join(roles)}"
        found = await people.account_of(connection, login)
        account = found.id if found else await people.add(connection, login, login, None, must_change=False)
        await people.set_roles(connection, account, SCHEME, organisation, roles or ("officer", "head"))
        cookie = await sessions.begin(connection, account, SCHEME, organisation, "test", Clock().now())
    sent = {"Accept": "text/html", "Accept-Language": "zh-CN", "Sec-Fetch-Site": "same-origin", **headers}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://console.test", headers=sent, cookies={"riskpool": cookie}
    ) as client:
        yield client


async def shown(
    engine: AsyncEngine, app: FastAPI, organisation: str, path: str, *roles: str, status: int = 200, **headers: str
) -> str:
    async with person(engine, app, organisation, *roles, **headers) as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


async def asked(engine: AsyncEngine, app: FastAPI, organisation: str, path: str) -> Any:
    """What a program of an organisation gets."""
    async with engine.begin() as connection:
        _, token = await tokens.create(connection, SCHEME, organisation)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console.test") as client:
        answer = await client.get(f"{API}{path}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def section(page: str, name: str) -> str:
    """The text of a section of a page."""
    found = re.search(rf'id="{name}".*?</section>', page, re.DOTALL)
    assert found, f"no section {name}"
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def opened() -> list[Event]:
    return [
        story.referred(), story.admitted(), story.opened(),
        panel.RatingRoundOpened(uscc=USCC, round=1, seats=SEATS, opened_on=day("2026-01-15")),
    ]  # fmt: skip


def vote(seat: str, grade: Any = "low", comment: str | None = None) -> Event:
    return panel.VoteCast(uscc=USCC, round=1, seat=seat, grade=grade, comment=comment)


READERS = [("finance", ("officer",)), ("government", ("head",)), ("drc", ("auditor",)), ("bank-a", ("officer",))]


@pytest.mark.parametrize("organisation, roles", READERS)
async def test_a_vote_is_secret_on_every_page_until_all_have_voted(
    engine: AsyncEngine, app: FastAPI, organisation: str, roles: tuple[str, ...]
) -> None:
    await happens(engine, *opened(), vote("scitech", "low", SECRET))
    for path in (f"/review/{USCC}", f"/cases/{USCC}", "/review"):
        page = await shown(engine, app, organisation, path, *roles)
        assert SECRET not in page and "投票：低风险" not in page
    room = await shown(engine, app, organisation, f"/review/{USCC}", *roles)
    assert "投票保密" in room and "已投 1 / 4 席" in room
    assert "低风险" not in section(room, "votes") and "已投票，暂不公开" in section(room, "votes")


async def test_a_seat_sees_its_own_vote(engine: AsyncEngine, app: FastAPI) -> None:
    await happens(engine, *opened(), vote("finance", "medium"), vote("scitech", "low", SECRET))
    own = section(await shown(engine, app, "scitech", f"/review/{USCC}"), "votes")
    assert "低风险" in own and SECRET in own and "中风险" not in own


async def test_a_vote_is_secret_over_the_api_too(engine: AsyncEngine, app: FastAPI) -> None:
    await happens(engine, *opened(), vote("scitech", "low", SECRET))
    for organisation in ("finance", "drc", "bank-a"):
        case = await asked(engine, app, organisation, f"/cases/{USCC}")
        [cast] = [one["data"] for one in case["timeline"] if one["type"] == "VoteCast"]
        assert (cast["seat"], cast["grade"], cast["comment"]) == ("scitech", None, None)
    [event] = (await asked(engine, app, "finance", "/events?type=VoteCast"))["items"]
    assert event["data"]["grade"] is None
    [event] = (await asked(engine, app, "scitech", "/events?type=VoteCast"))["items"]
    assert (event["data"]["grade"], event["data"]["comment"]) == ("low", SECRET)


async def test_votes_open_with_the_last_one(engine: AsyncEngine, app: FastAPI) -> None:
    await happens(engine, *opened(), *(vote(seat, "medium", SECRET) for seat in SEATS), story.rated())
    room = section(await shown(engine, app, "government", f"/review/{USCC}"), "votes")
    assert room.count("中风险") >= len(SEATS) and SECRET in room and "意见已公开" in room
    [first, *_] = (await asked(engine, app, "government", "/events?type=VoteCast"))["items"]
    assert first["data"]["grade"] == "medium"


async def test_a_veto_closes_the_round_and_opens_its_votes(engine: AsyncEngine, app: FastAPI) -> None:
    await happens(engine, *opened(), vote("scitech", "low", SECRET), panel.EnterpriseVetoed(uscc=USCC, reason="涉诉"))
    room = section(await shown(engine, app, "finance", f"/review/{USCC}"), "votes")
    assert "低风险" in room and "本轮已结束" in room


async def test_a_second_ballot_is_secret_while_the_first_is_open(engine: AsyncEngine, app: FastAPI) -> None:
    grades = dict(zip(SEATS, ("high", "high", "low", "low"), strict=True))
    revote = panel.RevoteOpened(uscc=USCC, round=1, tally={"high": 2, "low": 2})
    await happens(engine, *opened(), *(vote(*one) for one in grades.items()), revote, vote("drc", "decline", SECRET))
    room = section(await shown(engine, app, "finance", f"/review/{USCC}"), "votes")
    assert room.count("高风险") == 2 and room.count("低风险") == 2
    assert "不予支持" not in room and SECRET not in room and "第一次表决" in room


async def test_a_seat_with_an_interest_of_its_own_is_marked(engine: AsyncEngine, app: FastAPI) -> None:
    await happens(engine, *opened())
    room = section(await shown(engine, app, "drc", f"/review/{USCC}"), "votes")
    assert room.count("利益相关") == 1 and "可能由其放款" in room


async def test_the_room_offers_what_the_stage_and_the_role_allow(engine: AsyncEngine, app: FastAPI) -> None:
    async def forms(organisation: str, *roles: str) -> set[str]:
        return set(re.findall(r'data-form="(\w+)"', await shown(engine, app, organisation, f"/review/{USCC}", *roles)))

    await happens(engine, *opened())
    assert await forms("drc", "head") == {"CastVote", "VetoEnterprise"}
    assert await forms("drc", "officer") == await forms("bank-a", "officer") == {"CastVote"}
    assert await forms("drc", "auditor") == await forms("government", "head") == set()
    await happens(engine, vote("drc"))
    assert await forms("drc", "officer") == set()
    await happens(engine, panel.LeadDecisionRequired(uscc=USCC, round=1, options=("high", "low")))
    assert await forms("drc", "head") == {"DecideTie", "VetoEnterprise"}
    assert await forms("drc", "officer") == set()
    await happens(engine, panel.ConsentRequested(uscc=USCC, round=1, ratio=Decimal(1)))
    assert await forms("government", "head") == {"ConsentHighRisk"}
    assert await forms("government", "officer") == set()


async def test_the_case_file_offers_what_the_status_and_the_recommender_allow(
    engine: AsyncEngine, app: FastAPI
) -> None:
    async def forms(organisation: str, *roles: str) -> set[str]:
        return set(re.findall(r'data-form="(\w+)"', await shown(engine, app, organisation, f"/cases/{USCC}", *roles)))

    await happens(engine, story.referred())
    assert await forms("drc", "officer") == {"ScreenReferral", "RecordFinding"}
    assert await forms("scitech", "officer") == {"WithdrawReferral"}
    assert f"/refer/{USCC}" in await shown(engine, app, "scitech", f"/cases/{USCC}", "officer")
    assert await forms("culture", "officer") == await forms("drc", "auditor") == set()
    await happens(engine, story.admitted(), story.opened(), story.rated(), story.pushed("bank-a"), story.covered())
    assert await forms("scitech", "officer") == {"RecordTracking"}


async def test_the_timeline_tells_each_event_in_both_languages(engine: AsyncEngine, app: FastAPI) -> None:
    for events in story.life().values():
        await happens(engine, *events)
    told = section(await shown(engine, app, "drc", f"/cases/{USCC}"), "timeline")
    assert "区科信局推荐该企业（小型企业，第 1 次推荐）。" in told
    assert "归还本金 500,000.00 元，尚余 2,500,000.00 元。" in told
    assert "区政府同意代偿 1,250,000.00 元" in told and "代偿 250,000.00 元暂缓：触及暂停线。" in told
    english = {"Accept-Language": "en"}
    said = section(await shown(engine, app, "drc", f"/cases/{USCC}", **english), "timeline")
    assert "Science, Technology and Information Bureau refers the enterprise (small; referral no. 1)." in said
    assert "Rated Medium with a ratio of 50%" in said


def test_every_sentence_names_fields_that_its_event_has() -> None:
    events = {name: cls for (_, name), cls in EVENTS.items()}
    item = set(panel.CompensationItem.model_fields)
    for language in ("zh", "en"):
        known = catalogue(language)._catalog  # type: ignore[attr-defined,arg-type]
        told = {key: value for key, value in known.items() if isinstance(key, str) and key.startswith("sentence\x04")}
        assert len(told) > 70
        for key, sentence in told.items():
            name = key.partition("\x04")[2].partition(".")[0]
            fields = set(events[name].model_fields) | (item if "items" in events[name].model_fields else set())
            assert set(re.findall(r"\{(\w+)\}", sentence)) <= fields, name


def test_both_languages_have_the_same_words() -> None:
    own = [(LOCALE / language / "cases.po").read_text() for language in ("zh", "en")]
    chinese, english = (set(re.findall(r'msgctxt "(.+)"\nmsgid "(.+)"', text)) for text in own)
    assert chinese == english


async def test_an_institution_reads_its_own_part_of_a_case_only(engine: AsyncEngine, app: FastAPI) -> None:
    place = {"product": "bank", "place": 1, "reasons": ("annual_rate_from:0.0312",)}
    rated = story.rated().model_copy(
        update={"preference": tuple(panel.Preferred(institution=one, **place) for one in ("bank-a", "bank-b"))}
    )
    declined = panel.FinancingRefused(uscc=USCC, institution="bank-b", reason=SECRET)
    await happens(engine, *opened(), rated, story.pushed("bank-a", "bank-b"), declined)
    assert SECRET in await shown(engine, app, "drc", f"/financing/{USCC}")
    for path in (f"/cases/{USCC}", f"/financing/{USCC}", "/financing"):
        assert SECRET not in await shown(engine, app, "bank-a", path)
    page = await shown(engine, app, "bank-a", f"/financing/{USCC}")
    assert section(page, "answers").count("支行") == 1
    timeline = (await asked(engine, app, "bank-a", f"/cases/{USCC}"))["timeline"]
    [one] = [event for event in timeline if event["type"] == "EnterpriseRated"]
    assert [place["institution"] for place in one["data"]["preference"]] == ["bank-a"]


async def test_what_the_pool_pays_others_is_not_in_an_institutions_case(engine: AsyncEngine, app: FastAPI) -> None:
    for events in story.life().values():
        await happens(engine, *events)
    approved = {"half": "2026H2", "consented_on": day("2026-12-15"), "document_no": "21号"}
    both = (story.item("A-1", story.yuan(1)), story.item("B-9", story.yuan(777_777), OTHER))
    await happens(engine, panel.CompensationApproved.model_validate({**approved, "items": both}))
    case = await asked(engine, app, "bank-a", f"/cases/{USCC}")
    assert "777777.00" not in str(case) and OTHER not in str(case)
    assert not any({"fund", "entries"} & set(one["data"]) for one in case["timeline"])
    whole = await asked(engine, app, "drc", f"/cases/{USCC}")
    assert "777777.00" in str(whole) and any("fund" in one["data"] for one in whole["timeline"])


async def list_of(engine: AsyncEngine, app: FastAPI, query: str, organisation: str = "drc") -> list[str]:
    page = await shown(engine, app, organisation, f"/cases?{query}")
    return re.findall(r'class="enterprise" href="/cases/(\w+)"', page)


@pytest.fixture
async def three(engine: AsyncEngine, app: FastAPI) -> None:
    """甲公司 of a priority sector, and two others that ask for more, the last with a dangerous name."""
    rows = (
        ("9111A", "2026-01-20", "sci_tech", "甲公司", 100),
        ("9111B", "2026-01-10", "other", "乙百分之100%公司", 300),
        ("9111C", "2026-01-15", "other", "=HYPERLINK(丙)", 200),
    )
    for uscc, on, sector, name, need in rows:
        event = story.referred(uscc, on=on, sector=sector)
        assert isinstance(event, referral.EnterpriseReferred)
        application = event.application.model_copy(update={"name": name, "need": need})
        await happens(engine, event.model_copy(update={"application": application}))
    named = {"name": "乙百分之100%公司"}
    await happens(
        engine, story.admitted("9111B").model_copy(update=named), story.opened("9111B").model_copy(update=named)
    )


FOUND = {
    "": ["9111A", "9111B", "9111C"],
    "sort=date": ["9111A", "9111C", "9111B"],
    "sort=need": ["9111B", "9111C", "9111A"],
    "q=甲": ["9111A"],
    "q=9111": ["9111A", "9111B", "9111C"],
    "q=0%25公": ["9111B"],
    "q=_": [],
    "sector=other": ["9111B", "9111C"],
    "status=referred&sector=other": ["9111C"],
    "recommender=culture": [],
}


@pytest.mark.usefixtures("three")
async def test_the_need_list_is_searched_filtered_and_sorted(engine: AsyncEngine, app: FastAPI) -> None:
    async with person(engine, app, "drc") as client:
        for query, found in FOUND.items():
            page = (await client.get(f"/cases?{query}")).text
            assert re.findall(r'class="enterprise" href="/cases/(\w+)"', page) == found, query
            assert f"共 {len(found)} 家企业" in page
    over_api = await asked(engine, app, "drc", "/cases?sector=other&sort=need&q=9111")
    assert [one["uscc"] for one in over_api["items"]] == ["9111B", "9111C"]


@pytest.mark.usefixtures("three")
async def test_the_need_list_as_a_file_holds_what_the_filter_shows_and_no_formula(
    engine: AsyncEngine, app: FastAPI
) -> None:
    async with person(engine, app, "drc") as client:
        text = (await client.get("/cases/export.csv?sector=other&sort=need")).content
        sheet = (await client.get("/cases/export.xlsx?sector=other&sort=need")).content
        assert (await client.get("/cases/export.exe")).status_code == 404
    assert text.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(text.decode("utf-8-sig"))))
    assert rows[0][:3] == ["统一社会信用代码", "名称", "推荐单位"]
    assert [row[1] for row in rows[1:]] == ["乙百分之100%公司", "'=HYPERLINK(丙)"]
    cells = list(openpyxl.load_workbook(io.BytesIO(sheet)).active.iter_rows())
    names = [(row[1].value, row[1].data_type) for row in cells[1:]]
    assert names == [("乙百分之100%公司", "s"), ("=HYPERLINK(丙)", "s")]
    assert (cells[1][5].value, cells[1][5].data_type) == (3, "n")


@pytest.mark.usefixtures("three")
async def test_a_bank_finds_only_its_own_cases(engine: AsyncEngine, app: FastAPI) -> None:
    seats = panel.RatingRoundOpened(uscc="9111B", round=1, seats=("drc", "bank-b"), opened_on=day("2026-01-16"))
    await happens(engine, seats)
    assert await list_of(engine, app, "", "bank-b") == ["9111B"]
    assert await list_of(engine, app, "", "bank-a") == []
    await shown(engine, app, "bank-a", "/cases/9111B", status=404)
    await shown(engine, app, "bank-a", "/review/9111B", status=404)
    await shown(engine, app, "bank-a", "/financing/9111B", status=404)


async def test_pages_are_for_those_whose_kind_has_them(engine: AsyncEngine, app: FastAPI) -> None:
    await shown(engine, app, "bank-a", "/departments", status=403)
    await shown(engine, app, "bank-a", "/institutions", status=403)
    await shown(engine, app, "bank-a", "/institutions/bank-b", status=403)
    assert "bank-a支行" in await shown(engine, app, "bank-a", "/institutions/bank-a")
    await shown(engine, app, "insurer-a", "/review", status=403)
    await shown(engine, app, "operator", "/cases", "officer", status=403)


async def test_a_department_sees_its_quarters_and_its_flag_explained(engine: AsyncEngine, app: FastAPI) -> None:
    flagged = referral.DepartmentFlagged(department="scitech", year=2026, enterprises=(USCC, OTHER))
    counted = [referral.CompensationCounted(department="scitech", year=2026, uscc=one) for one in (USCC, OTHER)]
    await happens(engine, story.referred(), story.referred(OTHER), *counted, flagged)
    page = await shown(engine, app, "scitech", "/departments/scitech")
    assert "2026 年度考核提示" in page and "不自动减分" in page and "2026Q1: 2" in page and "应推荐 5" in page
    assert "不计入指标" in await shown(engine, app, "drc", "/departments/baiquan")
    await shown(engine, app, "drc", "/departments/drc", status=404)


async def test_the_scheme_shows_every_setting_rule_and_clause(engine: AsyncEngine, app: FastAPI) -> None:
    page = await shown(engine, app, "bank-a", "/scheme")
    assert YANQING.version in page
    for key, setting in YANQING.settings.items():
        assert f'id="setting-{key}"' in page and setting.reading.replace("'", "&#39;") in page
    for rule in YANQING.rules.values():
        assert f'id="{rule.id}"' in page and rule.zh in page
        assert all(f'id="clause-{clause}"' in page for clause in rule.clause.split("、"))


async def test_the_step_bar_stands_where_the_case_is(engine: AsyncEngine) -> None:
    async def stands(*events: Event) -> tuple[str, str]:
        async with engine.begin() as connection:
            await take(connection, events)
            case = await one_case(connection, SCHEME, YANQING.policy(GatewayPolicy), USCC, None)
            assert case is not None
            loan = await one_loan(connection, SCHEME, case.loan_no, None) if case.loan_no else None
        steps = steps_of(case, loan)
        last = [step for step in steps if step.state][-1]
        assert [step.name for step in steps] == list(STEPS)
        return last.name, last.state

    assert await stands(story.referred()) == ("admitted", "current")
    assert await stands(story.admitted(), *opened()[2:]) == ("panel", "current")
    assert await stands(story.rated()) == ("pushed", "current")
    assert await stands(story.pushed("bank-a")) == ("financed", "current")
    assert await stands(panel.FinancingExhausted(uscc=USCC, failures=2)) == ("financed", "stopped")
    assert await stands(story.covered()) == ("financed", "done")
    life = story.life()
    assert await stands(*life["review"][6:]) == ("compensated", "current")
    assert await stands(*life["pool"]) == ("recovery", "current")


def test_working_days_left_count_no_weekend() -> None:
    assert working_days_left(date(2026, 3, 6), date(2026, 3, 9)) == 1
    assert working_days_left(date(2026, 3, 9), date(2026, 3, 9)) == 0
    assert working_days_left(date(2026, 3, 10), date(2026, 3, 9)) == 0
    assert working_days_left(date(2026, 3, 10), None) is None
