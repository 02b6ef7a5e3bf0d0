"""Reports are asked for by those who may, made one by one in the background, and read by those they are about."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.api import problems
from services.gateway.api.events import Feed
from services.gateway.api.problems import Problem
from services.gateway.api.reports import report_routes
from services.gateway.api.shutdown import Closing
from services.gateway.auth import tokens
from services.gateway.auth.callers import Caller
from services.gateway.auth.own_pages import OwnPages
from services.gateway.console import account, reports
from services.gateway.console.build import presenter
from services.gateway.console.shell import Shell
from services.gateway.documents.files import Files
from services.gateway.projections.tables import ledger_entries
from services.gateway.reports.jobs import ReportView, Wish, ask, one_report, report_list
from services.gateway.reports.making import make, scheme_of
from services.gateway.reports.work import asked_of, keep_making, make_next
from services.gateway.tables import actions, report_jobs
from shared.clock import Clock
from shared.messaging import tables as core
from shared.messaging.service import Service
from shared.scheme.loader import content_of, load_scheme
from tests.gateway.console import HOST, person, signed_in, text_of
from tests.gateway.report_story import first_year, take
from tests.gateway.story import SCHEME

KINDS_OF = {"bank-a": "bank", "bank-b": "bank", "guarantor-a": "guarantor", "custodian": "custodian"}


@dataclass
class House:
    """A gateway without its processes: database, files, pages."""

    service: Service
    files: Files
    app: FastAPI

    def caller(self, organisation: str, *roles: str) -> Caller:
        known = self.service.schemes[SCHEME].organisations.get(organisation)
        kind = known.kind if known else KINDS_OF[organisation]
        return Caller(self.service.schemes[SCHEME], organisation, kind, frozenset(roles or ("officer",)))

    async def ask(self, organisation: str, *wish: str, roles: tuple[str, ...] = ()) -> ReportView:
        return await ask(self.service, self.caller(organisation, *roles), Wish(*wish))

    async def make_all(self) -> int:
        count = 0
        async with self.service.engine.connect() as connection:
            holding = await connection.execution_options(isolation_level="AUTOCOMMIT")
            while await make_next(self.service, holding, self.files):
                count += 1
        return count

    async def listed(self, organisation: str, *roles: str) -> list[str]:
        async with self.service.engine.connect() as connection:
            found = await report_list(connection, self.caller(organisation, *roles), 100, None)
        return [one.kind for one in found.items]

    async def read(self, organisation: str, identifier: str) -> ReportView:
        async with self.service.engine.connect() as connection:
            return await one_report(connection, self.caller(organisation), identifier)


@pytest.fixture
async def house(engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setenv("RISKPOOL_DOCUMENTS", str(tmp_path / "documents"))
    service = Service(name="gateway")
    service.clock, service.engine, service.schemes = Clock(), engine, {SCHEME: load_scheme(SCHEME)}
    async with engine.begin() as connection:
        await take(connection, first_year())
        valid = {"scheme": SCHEME, "valid_from": date(2026, 1, 1), "valid_to": date(2028, 12, 31)}
        rows = [{**valid, "id": one, "kind": kind, "name": one} for one, kind in KINDS_OF.items()]
        await connection.execute(core.institutions.insert().values(rows))
    app = FastAPI()
    shell = Shell(service, Feed(service, Closing()))
    problems.install(app, presenter(shell))
    for router in (account.routes(shell), reports.routes(shell), report_routes(service)):
        app.include_router(router)
    app.add_middleware(OwnPages, present=presenter(shell))
    yield House(service, Files.from_environment(), app)


async def refused(house: House, organisation: str, *wish: str, roles: tuple[str, ...] = ()) -> Problem:
    with pytest.raises(Problem) as problem:
        await house.ask(organisation, *wish, roles=roles)
    return problem.value


async def test_a_report_is_queued_made_and_kept_under_its_content(house: House) -> None:
    asked = await house.ask("drc", "custodian_half_year", "2026H2", "", "en", "pdf")
    assert (asked.state, asked.progress, asked.sha256) == ("queued", 0, None)
    assert await house.make_all() == 1
    made = await house.read("drc", asked.id)
    assert (made.state, made.progress, made.name) == ("done", 100, asked.name)
    assert made.sha256 is not None
    content = house.files.path(made.sha256).read_bytes()
    assert content.startswith(b"%PDF-") and hashlib.sha256(content).hexdigest() == made.sha256
    async with house.service.engine.connect() as connection:
        row = (await connection.execute(select(actions))).one()
    assert (row.action, row.about, row.organisation) == ("reports.custodian_half_year", asked.name, "drc")


async def test_the_same_report_asked_for_again_is_the_first_one(house: House) -> None:
    wish = ("recovery_half_year", "2026H2", "", "zh", "xlsx")
    first = await house.ask("drc", *wish)
    assert (await house.ask("finance", *wish)).id == first.id
    await house.make_all()
    assert (await house.ask("government", *wish)).id == first.id


async def test_who_may_ask_for_what(house: House) -> None:
    for organisation, wish in (
        ("scitech", ("custodian_annual", "2026")),
        ("bank-a", ("compensation_request", "2026H1")),
        ("custodian", ("recovery_half_year", "2026H2")),
        ("custodian", ("department_quarter", "2026Q1", "scitech")),
        ("bank-a", ("department_quarter", "2026Q1", "scitech")),
        ("scitech", ("institution_statement", "2026H2", "bank-a")),
    ):
        assert (await refused(house, organisation, *wish)).status == 403, (organisation, wish)
    assert (await refused(house, "drc", "custodian_annual", "2026", roles=("admin",))).status == 403
    assert (await house.ask("drc", "custodian_annual", "2026", roles=("auditor",))).state == "queued"
    assert (await house.ask("custodian", "custodian_annual", "2026", "", "en")).state == "queued"


async def test_an_institution_and_a_department_get_their_own_whatever_they_ask_for(house: House) -> None:
    assert (await house.ask("bank-a", "institution_statement", "2026H2", "guarantor-a")).organisation == "bank-a"
    assert (await house.ask("culture", "department_quarter", "2026Q1", "scitech")).organisation == "culture"
    assert (await house.ask("drc", "department_quarter", "2026Q1", "kangzhuang")).organisation == "kangzhuang"
    assert (await house.ask("drc", "custodian_annual", "2026", "bank-a")).organisation == ""


async def test_reports_are_read_by_those_they_are_about_only(house: House) -> None:
    await house.ask("drc", "custodian_annual", "2026")
    others = await house.ask("drc", "institution_statement", "2026H2", "bank-a")
    await house.ask("drc", "department_quarter", "2026Q1", "scitech")
    assert len(await house.listed("drc")) == 3 and len(await house.listed("drc", "auditor")) == 3
    assert await house.listed("bank-a") == ["institution_statement"]
    assert await house.listed("bank-b") == [] == await house.listed("culture")
    assert await house.listed("scitech") == ["department_quarter"]
    assert await house.listed("custodian") == ["custodian_annual"]
    assert await house.listed("drc", "admin") == []
    with pytest.raises(Problem) as problem:
        await house.read("bank-b", others.id)
    assert problem.value.status == 404


async def test_what_cannot_be_is_refused_by_its_field(house: House) -> None:
    for field, *wish in (
        ("kind", "balance_sheet", "2026"),
        ("period", "custodian_annual", "2026H1"),
        ("period", "custodian_annual", "soon"),
        ("period", "custodian_annual", "2031"),
        ("language", "custodian_annual", "2026", "", "fr"),
        ("format", "custodian_annual", "2026", "", "zh", "csv"),
        ("organisation", "department_quarter", "2026Q1", "drc"),
        ("organisation", "department_quarter", "2026Q1", "a\0b"),
        ("organisation", "institution_statement", "2026"),
    ):
        problem = await refused(house, "drc", *wish)
        assert problem.status == 422 and problem.members["errors"][0]["field"] == field, wish


async def test_a_report_left_half_made_is_made_after_a_restart_and_only_by_one_gateway(house: House) -> None:
    asked = [await house.ask("drc", "custodian_half_year", half, "", "zh", "xlsx") for half in ("2026H1", "2026H2")]
    async with house.service.engine.begin() as connection:
        left = update(report_jobs).where(report_jobs.c.id == asked[0].id)
        await connection.execute(left.values(state="running", progress=40))
    gateways = [asyncio.create_task(keep_making(house.service, house.files)) for _ in range(2)]
    for _ in range(200):
        await asyncio.sleep(0.1)
        states = [(await house.read("drc", one.id)).state for one in asked]
        if states == ["done", "done"]:
            break
    for gateway in gateways:
        gateway.cancel()
    await asyncio.gather(*gateways, return_exceptions=True)
    assert states == ["done", "done"]


async def test_figures_that_differ_from_the_ledger_fail_and_may_be_asked_for_again(house: House) -> None:
    position = select(func.min(ledger_entries.c.position)).scalar_subquery()
    async with house.service.engine.begin() as connection:
        first_line = (ledger_entries.c.position == position, ledger_entries.c.account == "cash")
        changed = update(ledger_entries).where(*first_line)
        await connection.execute(changed.values(amount_fen=ledger_entries.c.amount_fen - 1))
    first = await house.ask("drc", "custodian_annual", "2026")
    await house.make_all()
    failed = await house.read("drc", first.id)
    assert (failed.state, failed.error, failed.sha256) == ("failed", "unreconciled", None)
    async with house.service.engine.begin() as connection:
        await connection.execute(changed.values(amount_fen=ledger_entries.c.amount_fen + 1))
    second = await house.ask("drc", "custodian_annual", "2026")
    await house.make_all()
    assert second.id != first.id and (await house.read("drc", second.id)).state == "done"


async def test_a_report_of_an_old_scheme_version_is_made_with_the_scheme_of_its_day(house: House) -> None:
    scheme = house.service.schemes[SCHEME]
    asked = await house.ask("drc", "department_quarter", "2026Q1", "scitech", "zh", "docx")
    await house.make_all()
    async with house.service.engine.begin() as connection:
        content = {**content_of(scheme), "name": scheme.name}
        row = {"scheme": SCHEME, "version": scheme.version, "content": content}
        await connection.execute(core.scheme_versions.insert().values(row))
        newer = load_scheme(SCHEME)
        object.__setattr__(newer, "version", "f" * 64)
        object.__setattr__(newer, "name", "改名的资金")
        old = await scheme_of(connection, newer, scheme.version)
        assert (old.name, old.version) == (scheme.name, scheme.version)
        job = (await connection.execute(select(report_jobs).where(report_jobs.c.id == asked.id))).one()

        async def told(percent: int) -> None: ...

        made = await make(connection, await asked_of({SCHEME: newer}, connection, job), job.format, told)
    assert hashlib.sha256(made.content).hexdigest() == job.sha256


async def test_over_the_api_a_report_is_asked_for_followed_and_fetched(house: House) -> None:
    async with house.service.engine.begin() as connection:
        token = (await tokens.create(connection, SCHEME, "bank-a"))[1]
        other = (await tokens.create(connection, SCHEME, "bank-b"))[1]
    base, transport = f"{HOST}/v1/schemes/{SCHEME}", httpx.ASGITransport(house.app)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        body = {"kind": "institution_statement", "period": "2026H2", "format": "xlsx"}
        answer = await client.post("/reports", json=body)
        assert answer.status_code == 202 and answer.json()["organisation"] == "bank-a"
        place = answer.headers["location"]
        assert place == f"/v1/schemes/{SCHEME}/reports/{answer.json()['id']}"
        early = await client.get(f"{HOST}{place}/content")
        assert early.status_code == 404 and early.json()["rule"] == "unknown"
        await house.make_all()
        assert (await client.get(f"{HOST}{place}")).json()["state"] == "done"
        file = await client.get(f"{HOST}{place}/content")
        assert file.status_code == 200 and file.content.startswith(b"PK")
        assert "attachment; filename=\"institution_statement-2026H2-bank-a-" in file.headers["content-disposition"]
        assert "sandbox" in file.headers["content-security-policy"]
        assert [one["kind"] for one in (await client.get("/reports")).json()["items"]] == ["institution_statement"]
        assert (await client.post("/reports", json={**body, "more": 1})).status_code == 422
        assert (await client.post("/reports", content=b"x")).status_code == 415
        client.headers["Authorization"] = f"Bearer {other}"
        assert (await client.get(f"{HOST}{place}/content")).status_code == 404


async def test_on_the_page_a_report_is_asked_for_watched_and_downloaded(house: House) -> None:
    await person(house.service.engine, "wang", "drc", "officer")
    async with signed_in(house.app, "wang") as browser:
        page = await browser.get("/reports")
        assert page.status_code == 200 and page.text.count('action="/reports"') == 6
        assert "<option>2026H1</option>" in page.text and "style=" not in page.text
        assert page.text.count("<option selected>2026H2</option>") == 4  # the newest that is over
        wish = {"kind": "department_quarter", "period": "2026Q1", "language": "zh", "format": "docx"}
        wrong = await browser.post("/reports", data=wish)
        assert wrong.status_code == 422 and "请从所列选项中选择" in text_of(wrong)
        sent = await browser.post("/reports", data={**wish, "organisation": "scitech"})
        assert sent.status_code == 303
        waiting = await browser.get(sent.headers["location"])
        assert waiting.headers["refresh"] == "1" and "排队中" in text_of(waiting)
        await house.make_all()
        ready = await browser.get(sent.headers["location"])
        assert "refresh" not in ready.headers and "已生成" in text_of(ready)
        file = await browser.get(f"{sent.headers['location']}/file")
        assert file.status_code == 200 and file.content.startswith(b"PK")
        browser.cookies.set("language", "en")
        english = text_of(await browser.get("/reports"))
        assert "Compensation request" in english and "Make it" in english


async def test_a_banks_clerk_sees_one_form_and_no_choice_of_institution(house: House) -> None:
    await person(house.service.engine, "li", "bank-a", "officer")
    others: Any = await house.ask("drc", "custodian_annual", "2026")
    async with signed_in(house.app, "li") as browser:
        page = await browser.get("/reports")
        assert page.text.count('action="/reports"') == 1 and 'name="organisation"' not in page.text
        assert (await browser.get(f"/reports/{others.id}")).status_code == 404
        assert (await browser.get(f"/reports/{others.id}/file")).status_code == 404
