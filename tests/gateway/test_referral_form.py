"""The referral's own form: a plain form works, is checked while typed, keeps its materials and its draft."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.gateway import tables
from services.gateway.api.events import Feed
from services.gateway.api.shutdown import Closing
from services.gateway.console import documents, referral
from services.gateway.console.shell import Shell
from shared.clock import Clock
from shared.messaging.service import Service
from shared.scheme.loader import load_scheme
from tests.gateway import console
from tests.gateway import document_files as made
from tests.gateway.conftest import Gateway
from tests.gateway.story import OTHER, USCC, referred, take

FILLED = {
    "uscc": "91110119MA7XK2Q34P", "name": "丙民宿管理有限公司", "industry": "accommodation",
    "sector": "culture_tourism", "traits": ["leader"], "employees": "22", "revenue": "6,000,000",
    "assets": "8000000.00", "region": "110119",
    "registration": "active", "legal_representative.name": "李四", "legal_representative.id": "110229198404040044",
    "actual_controller.name": "李四", "actual_controller.id": "110229198404040044", "shareholders.0.name": "李四",
    "shareholders.0.id": "110229198404040044", "shareholders.0.share": "100%", "project": "精品民宿改造",
    "need": "2000000", "purpose": "装修", "letter_no": "延文旅函〔2026〕2号", "materials": ["tax"],
}  # fmt: skip


@pytest.fixture
async def clerk(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A department's clerk, where one enterprise is referred already."""
    monkeypatch.setenv("RISKPOOL_DOCUMENTS", str(tmp_path / "documents"))
    app = console.application(engine)
    service = Service(name="gateway")
    service.clock, service.engine, service.schemes = Clock(), engine, {"yanqing": load_scheme("yanqing")}
    shell = Shell(service, Feed(service, Closing()))
    for area in (referral, documents):
        app.include_router(area.routes(shell))
    async with engine.begin() as connection:
        await take(connection, [referred()])
    await console.person(engine, "clerk", "scitech", "officer")
    async with console.signed_in(app, "clerk") as client:
        yield client


async def checks(client: httpx.AsyncClient, path: str, **typed: str) -> list[tuple[str, str]]:
    answer = await client.get(path, params=typed, headers={"Accept": "application/json"})
    return [(one["state"], one["message"]) for one in answer.json()["checks"]]


async def test_the_code_is_checked_as_it_is_typed(clerk: httpx.AsyncClient) -> None:
    assert await checks(clerk, "/refer/check", uscc="") == []
    (state, said), = await checks(clerk, "/refer/check", uscc="9111")
    assert state == "bad" and "4 位" in said
    (state, said), = await checks(clerk, "/refer/check", uscc=OTHER[:-1] + "A")
    assert state == "bad" and "18" in said
    assert [state for state, _ in await checks(clerk, "/refer/check", uscc=OTHER.lower())] == ["ok"]
    taken = await checks(clerk, "/refer/check", uscc=USCC)
    assert [state for state, _ in taken] == ["ok", "bad"] and "甲公司" in taken[1][1] and "待初筛" in taken[1][1]
    elsewhere = await checks(clerk, "/refer/check", uscc="91110105MA01ABC126")
    assert [state for state, _ in elsewhere][-1] in ("warn", "bad")


async def test_the_size_follows_the_figures_as_they_are_typed(clerk: httpx.AsyncClient) -> None:
    assert await checks(clerk, "/refer/size") == []
    typed = {"industry": "accommodation", "employees": "22"}
    assert await checks(clerk, "/refer/size", **typed) == [("none", "还需填写：营业收入。")]
    assert await checks(clerk, "/refer/size", **typed, revenue="6,000,000") == [("ok", "按划型标准为小型企业。")]
    large = {"industry": "accommodation", "employees": "3000", "revenue": "900000000"}
    assert (await checks(clerk, "/refer/size", **large))[0][0] == "bad"
    assert (await checks(clerk, "/refer/size", industry="x"))[0][0] == "bad"
    assert (await checks(clerk, "/refer/size", **typed, revenue="viel"))[0][0] == "bad"


async def test_a_draft_comes_back_until_it_is_thrown_away(clerk: httpx.AsyncClient) -> None:
    sent = {"name": "丙民宿", "shareholders.1.name": "王五", "shareholders.0.name": "李四", "_key": "k"}
    answer = await clerk.post("/refer/draft", data=sent, headers={"Accept": "application/json"})
    assert "草稿已保存" in answer.json()["message"]
    page = (await clerk.get("/refer")).text
    assert "丙民宿" in page and "王五" in page and "已恢复" in page
    answer = await clerk.post("/refer", data={**sent, "_do": "discard"})
    assert answer.status_code == 303
    page = (await clerk.get("/refer")).text
    assert "丙民宿" not in page and "已恢复" not in page


async def test_the_draft_button_works_without_scripts_and_keeps_the_files(clerk: httpx.AsyncClient) -> None:
    files = [("file.business_licence", ("营业执照.pdf", made.pdf())), ("file.tax", ("", b""))]
    answer = await clerk.post("/refer", data={"uscc": OTHER.lower(), "_do": "draft"}, files=files)
    assert (answer.status_code, answer.headers["location"]) == (303, "/refer?saved=1")
    page = (await clerk.get("/refer")).text
    assert re.search(r'value="business_licence" checked', page) and "营业执照.pdf" in page
    assert 'value="tax" checked' not in page and "代码正确" in page
    address = re.search(r'href="(/documents/[^"]+)"', page)
    assert address is not None
    file = await clerk.get(address[1])
    assert file.content == made.pdf() and file.headers["content-security-policy"].startswith("sandbox")


async def test_a_file_that_is_not_taken_is_named_and_nothing_is_lost(clerk: httpx.AsyncClient) -> None:
    answer = await clerk.post("/refer", data=FILLED, files=[("file.tax", ("税.pdf", b"MZ"))])
    page = unescape(answer.text)
    assert answer.status_code == 422 and "“税.pdf”的内容与扩展名" in page and "精品民宿改造" in page
    answer = await clerk.post("/refer", data={**FILLED, "uscc": "1"}, files=[("file.tax", ("税.pdf", made.pdf()))])
    assert "请先填写正确的统一社会信用代码" in answer.text


async def test_another_departments_referral_is_not_mine_to_amend(clerk: httpx.AsyncClient, engine: AsyncEngine) -> None:
    page = (await clerk.get(f"/refer/{USCC}")).text
    assert "甲公司" in page and "110229198001010011" in page
    await console.person(engine, "farmer", "agriculture", "officer")
    await console.person(engine, "banker", "bank-a", "officer")
    app = clerk._transport.app  # type: ignore[attr-defined]
    async with console.signed_in(app, "farmer") as other:
        assert (await other.get(f"/refer/{USCC}")).status_code == 403
    async with console.signed_in(app, "banker") as bank:
        assert (await bank.get("/refer")).status_code == 403
        assert (await bank.get("/refer/check", params={"uscc": USCC})).status_code == 403


async def test_documents_of_a_case_are_listed_and_uploaded(clerk: httpx.AsyncClient) -> None:
    files = [("file", ("a.docx", made.word())), ("file", ("b.png", made.png()))]
    sent = {"about": USCC, "kind": "other", "_back": f"/cases/{USCC}"}
    answer = await clerk.post("/documents", data=sent, files=files)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/cases/{USCC}#documents")
    for path in ("/documents", "/documents/list"):
        page = (await clerk.get(path, params={"about": USCC})).text
        assert "a.docx" in page and "b.png" in page
    wanted = {"Accept": "application/json"}
    answer = await clerk.post(
        "/documents", data={"about": USCC, "kind": "tax"}, files=[("file", ("a.exe", b"MZ"))], headers=wanted
    )
    assert answer.status_code == 422 and "a.exe" in answer.json()["detail"]
    answer = await clerk.post("/documents", data={"about": USCC, "kind": "tax"}, headers=wanted)
    assert answer.status_code == 422
    answer = await clerk.post("/documents", data={**sent, "kind": "tax"}, files=[("file", ("a.pdf", b"MZ"))])
    assert answer.status_code == 422 and f'href="/cases/{USCC}"' in answer.text and "a.docx" in answer.text


# -- the whole way, on running services


@pytest.fixture(scope="module")
def browser(signed: Gateway) -> Iterator[httpx.Client]:
    async def prepare() -> None:
        engine = create_async_engine(signed.database_url)
        await console.person(engine, "tourism", "culture", "officer")
        await engine.dispose()

    asyncio.run(prepare())
    with httpx.Client(base_url=signed.url, timeout=20, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        client.post("/sign-in", data={"login": "tourism", "password": console.PASSWORD})
        yield client


def test_a_referral_is_sent_with_its_materials_and_amended(browser: httpx.Client, signed: Gateway) -> None:
    browser.post("/refer/draft", data=FILLED)
    licence, letter = ("照.pdf", made.pdf()), ("函.docx", made.word())
    files = [("file.business_licence", licence), ("file.recommendation_letter", letter)]
    answer = browser.post("/refer", data={**FILLED, "_key": "referral-1"}, files=files)
    assert answer.status_code == 303, unescape(re.sub("<[^>]+>", " ", answer.text))
    assert answer.headers["location"].startswith(f"/cases/{OTHER}?done=ReferEnterprise")
    assert "已恢复" not in browser.get("/refer").text
    with signed.client("drc") as drc:
        case = drc.get(f"/cases/{OTHER}").json()
        listed = drc.get("/documents", params={"about": OTHER}).json()["items"]
        content = drc.get(f"/documents/{listed[0]['id']}/content")
    assert case["application"]["materials"] == ["tax", "business_licence"] and case["size"] == "small"
    assert case["application"]["shareholders"][0]["share"] == "1.00"
    assert {one["kind"] for one in listed} == {"business_licence", "recommendation_letter"}
    assert content.status_code == 200 and content.headers["content-disposition"].startswith("attachment")

    again = browser.post("/refer", data={**FILLED, "_key": "referral-2"})
    assert again.status_code == 409 and "eligible.open_case" in again.text and "精品民宿改造" in again.text

    changed = {**FILLED, "traits": [], "need": "1500000.00", "_key": "amend-1"}
    answer = browser.post(f"/refer/{OTHER}", data=changed)
    assert answer.status_code == 303, answer.text
    with signed.client("drc") as drc:
        timeline = drc.get(f"/cases/{OTHER}").json()
    assert timeline["application"]["traits"] == [] and timeline["application"]["need"] == "1500000.00"
    changes = timeline["timeline"][-1]["data"]["changes"]
    assert {name for name, value in changes.items() if value is not None} == {"uscc", "need", "traits", "materials"}


def test_who_uploaded_is_recorded(browser: httpx.Client, signed: Gateway) -> None:
    async def rows() -> list[Any]:
        engine = create_async_engine(signed.database_url)
        async with engine.connect() as connection:
            query = select(tables.actions).where(tables.actions.c.about == OTHER)
            found = list(await connection.execute(query))
        await engine.dispose()
        return found

    found = asyncio.run(rows())
    assert {row.action for row in found} >= {"documents.upload", "ReferEnterprise", "AmendReferral"}
    assert all(row.account for row in found)


def test_the_api_takes_a_file_as_it_is_and_as_a_form(signed: Gateway) -> None:
    about = {"about": OTHER, "kind": "evidence"}
    with signed.client("drc") as drc:
        raw = drc.post("/documents", params={**about, "name": "证.pdf"}, content=made.pdf())
        form = drc.post("/documents", params=about, files={"file": ("证.pdf", made.pdf())})
        assert raw.status_code == form.status_code == 201 and raw.json() == form.json()
        assert drc.post("/documents", params=about, content=made.pdf()).json()["rule"] == "malformed"
        assert drc.post("/documents", params={**about, "name": "a.pdf"}, content=b"").status_code == 422
        too_much = drc.post("/documents", params={**about, "name": "a.pdf"}, content=bytes(20_000_001))
        assert too_much.status_code == 413
        assert drc.post("/documents", params={"about": OTHER, "kind": "A B"}, content=b"x").status_code == 422
        assert drc.get("/documents/none/content").status_code == 404
    with signed.client("bank-b") as bank:
        assert bank.get("/documents", params={"about": OTHER}).json()["items"] == []
        assert bank.get(f"/documents/{raw.json()['id']}/content").status_code == 404
        assert bank.post("/documents", params={**about, "name": "a.pdf"}, content=made.pdf()).status_code == 404
