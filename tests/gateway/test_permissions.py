"""The whole matrix of who may do what, written down here a second time, and duties that one person cannot hold."""

import re
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from riskpool.scenario.codes import synthetic_uscc
from services.gateway.api.problems import Problem
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import ACTIONS, KINDS, ROLES, may, needs
from services.gateway.auth.separation import drafted_by, party_to_case
from services.gateway.projections.tables import agreements, case_parties, loans
from services.gateway.tables import actions, events
from shared.clock import Clock
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS
from shared.messaging.tables import institutions
from shared.scheme.loader import load_scheme
from tests.gateway.conftest import Gateway
from tests.gateway.console import application, person, signed_in, text_of
from tests.gateway.test_commands_api import enterprise

SCHEME = load_scheme("yanqing")
AGENCIES = "drc finance government department township"
# action: (kinds whose officer may, kinds whose head may besides). Heads may do what officers may.
DECIDING = {
    "AmendReferral": ("department township", ""),
    "ApplySubsidy": ("drc", ""),
    "ApproveFee": ("", "drc finance"),
    "ApproveSubsidy": ("", "drc"),
    "ApproveWriteOff": ("", "drc finance"),
    "BarEnterprise": ("", "drc"),
    "CastVote": ("drc finance department township bank lender guarantor", ""),
    "ConsentClaimBatch": ("", "government"),
    "ConsentHighRisk": ("", "government"),
    "DecideTie": ("", "drc"),
    "FileReport": ("custodian drc", ""),
    "InjectCapital": ("finance", ""),
    "IssuePayoutNotice": ("", "drc"),
    "OpenClaimBatch": ("drc", ""),
    "OpenRatingRound": ("drc", ""),
    "PushFinancing": ("drc", ""),
    "RecordFinding": ("drc bank", ""),
    "RecordTracking": ("department township", ""),
    "ReferEnterprise": ("department township", ""),
    "SanctionInstitution": ("", "drc"),
    "ScreenReferral": ("drc", ""),
    "SetVerifiedPrincipal": ("drc", ""),
    "SignAgreement": ("", "drc"),
    "SubmitClaimBatch": ("", "drc"),
    "VerifyClaim": ("drc finance department township bank lender guarantor", ""),
    "VetoEnterprise": ("", "drc"),
    "WithdrawReferral": ("department township", ""),
    "FinancingDeclined": ("bank lender guarantor insurer", ""),
    "LoanDisbursed": ("bank lender", ""),
    "LoanRepaid": ("bank lender", ""),
    "LoanDefaulted": ("bank lender guarantor", ""),
    "RecoveryCollected": ("bank lender guarantor", ""),
    "WriteOffProposed": ("bank lender guarantor", ""),
    "PremiumPaid": ("insurer", ""),
    "TransferSettled": ("custodian", ""),
    "TransferReturned": ("custodian", ""),
    "FundsReceived": ("custodian", ""),
    "IncomeCredited": ("custodian", ""),
    "StatementIssued": ("custodian", ""),
    "bus.manage": ("", "drc"),
    "parked.settle": ("operator", ""),
    "documents.upload": (f"{AGENCIES} bank lender guarantor insurer custodian", ""),
}
# What officers, heads and auditors may look at.
LOOKING = {
    **dict.fromkeys(("page.departments", "page.institutions", "page.audit"), AGENCIES),
    **dict.fromkeys(("page.pool", "page.ledger", "page.obligations"), f"{AGENCIES} custodian"),
    **dict.fromkeys(("page.review", "page.claims", "page.recoveries"), f"{AGENCIES} bank lender guarantor"),
    **dict.fromkeys(
        ("page.cases", "page.case", "page.financing", "page.loans"), f"{AGENCIES} bank lender guarantor insurer"
    ),
    **dict.fromkeys(
        ("page.documents", "page.reports", "page.receipts"), f"{AGENCIES} bank lender guarantor insurer custodian"
    ),
    **dict.fromkeys(("reports.custodian_half_year", "reports.custodian_annual"), "drc finance government custodian"),
    **dict.fromkeys(("reports.compensation_request", "reports.recovery_half_year"), "drc finance government"),
    "reports.department_quarter": AGENCIES,
    "page.ops": "operator",
    "page.parked": "operator",
    "page.uploads": "bank lender guarantor insurer custodian",
    "reports.institution_statement": "drc bank lender guarantor insurer custodian",
}
EVERYBODY = {"page.worklist", "page.scheme", "page.permissions"}
ADMINS = {"page.users", "page.tokens", "users.manage", "tokens.manage"}


def expected(kind: str, role: str, action: str) -> bool:
    if action in EVERYBODY:
        return True
    if action in ADMINS:
        return role == "admin"
    if action in LOOKING:
        return role != "admin" and kind in LOOKING[action].split()
    officers, heads = (kinds.split() for kinds in DECIDING[action])
    return (role in ("officer", "head") and kind in officers) or (role == "head" and kind in heads)


def caller(kind: str, *roles: str, organisation: str = "", account: str | None = "li") -> Caller:
    return Caller(SCHEME, organisation or kind, kind, frozenset(roles), account)


def test_the_two_tables_speak_of_the_same_actions() -> None:
    assert set(ACTIONS) == {*DECIDING, *LOOKING, *EVERYBODY, *ADMINS}
    assert set(COMMANDS) | set(PARTNER_EVENTS) == {one for one in DECIDING if one[0].isupper()}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", [*KINDS, ""])
def test_who_may_do_what(kind: str, role: str) -> None:
    who = caller(kind, role)
    assert {one for one in ACTIONS if may(who, one)} == {one for one in ACTIONS if expected(kind, role, one)}
    for action in ACTIONS:
        assert refusal(who, action) == (None if expected(kind, role, action) else (403, "permission"))


def refusal(who: Caller, action: str) -> tuple[int, str] | None:
    try:
        needs(who, action)
    except Problem as problem:
        return problem.status, problem.rule
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_roles_add_up(kind: str) -> None:
    both = caller(kind, "officer", "admin")
    assert all(may(both, one) is (expected(kind, "officer", one) or expected(kind, "admin", one)) for one in ACTIONS)


def test_an_unknown_action_is_nobodys() -> None:
    assert not any(may(caller(kind, *ROLES), "page.everything") for kind in KINDS)


def test_a_system_may_what_its_organisation_may() -> None:
    system = Caller(SCHEME, "drc", "drc")
    assert may(system, "VetoEnterprise") and may(system, "ScreenReferral") and not may(system, "users.manage")


@pytest.mark.parametrize(
    ("kind", "role", "action", "reason"),
    [
        ("drc", "officer", "VetoEnterprise", "head_only"),
        ("drc", "auditor", "ScreenReferral", "read_only"),
        ("drc", "admin", "ScreenReferral", "officer_only"),
        ("drc", "head", "users.manage", "admin_only"),
        ("drc", "auditor", "users.manage", "admin_only"),
        ("finance", "head", "VetoEnterprise", ""),
        ("bank", "head", "page.pool", "page"),
        ("operator", "head", "page.cases", "page"),
    ],
)
def test_a_refusal_says_who_could(kind: str, role: str, action: str, reason: str) -> None:
    with pytest.raises(Problem) as refused:
        needs(caller(kind, role), action)
    assert refused.value.reason == reason


# -- who drafted does not approve --------------------------------------------------------------------------------


async def did(connection: AsyncConnection, action: str, about: str, **more: Any) -> None:
    row = {"scheme": "yanqing", "organisation": "drc", "account": "li", "outcome": "accepted", "events": []}
    values = {**row, "at": Clock.now(), "action": action, "about": about, **more}
    await connection.execute(insert(actions).values(**values))


@pytest.mark.parametrize(
    ("draft", "drafted", "decision", "decided", "same"),
    [
        ("OpenClaimBatch", "2026H1", "SubmitClaimBatch", "2026H1", True),
        ("OpenClaimBatch", "2026H1", "SubmitClaimBatch", "2026H2", False),
        ("OpenClaimBatch", "2026H1", "ConsentClaimBatch", "2026H1", True),
        ("SubmitClaimBatch", "2026H1", "ConsentClaimBatch", "2026H1", True),
        ("SetVerifiedPrincipal", "L-1", "SubmitClaimBatch", "2026H1", True),
        ("SetVerifiedPrincipal", "L-1", "SubmitClaimBatch", "2026H2", False),
        ("SetVerifiedPrincipal", "L-2", "SubmitClaimBatch", "2026H1", False),
        ("ApplySubsidy", "P-1", "ApproveSubsidy", "P-1", True),
        ("ApplySubsidy", "P-1", "ApproveSubsidy", "P-2", False),
        ("ScreenReferral", "2026H1", "SubmitClaimBatch", "2026H1", False),
    ],
)
async def test_who_drafted_does_not_approve(
    connection: AsyncConnection, draft: str, drafted: str, decision: str, decided: str, same: bool
) -> None:
    await connection.execute(insert(loans).values(scheme="yanqing", loan_no="L-1", claim={"half": "2026H1"}))
    caused = []
    if draft == "ApplySubsidy":
        caused = [await _subsidy_applied(connection, drafted)]
    # What the console notes of a subsidy is the enterprise; the policy is in the event that followed.
    await did(connection, draft, "91110119MA01ABC17J" if caused else drafted, events=caused)
    person = caller("drc", "officer", "head", organisation="drc")
    assert await drafted_by(connection, person, decision, decided) is same
    colleague = caller("drc", "officer", "head", organisation="drc", account="wu")
    assert not await drafted_by(connection, colleague, decision, decided)
    system = caller("drc", "officer", "head", organisation="drc", account=None)
    assert not await drafted_by(connection, system, decision, decided)


async def _subsidy_applied(connection: AsyncConnection, policy_no: str) -> str:
    event = {"scheme": "yanqing", "service": "review", "type": "SubsidyApplied", "subject": "x", "about": []}
    ids = {"position": 1, "id": "e-1", "correlation_id": "", "causation_id": "", "scheme_version": ""}
    await connection.execute(insert(events).values(**event, **ids, at=Clock.now(), data={"policy_no": policy_no}))
    return "e-1"


async def test_a_draft_that_was_refused_binds_nobody(connection: AsyncConnection) -> None:
    await did(connection, "OpenClaimBatch", "2026H1", outcome="refused")
    assert not await drafted_by(connection, caller("drc", "head"), "SubmitClaimBatch", "2026H1")


@pytest.mark.parametrize("decision", ["ApproveFee", "ApproveWriteOff"])
async def test_one_person_does_not_approve_for_two_organisations(connection: AsyncConnection, decision: str) -> None:
    await did(connection, decision, "2026")
    assert await drafted_by(connection, caller("finance", "head", organisation="finance"), decision, "2026")
    assert not await drafted_by(connection, caller("drc", "head", organisation="drc"), decision, "2026")
    assert not await drafted_by(connection, caller("finance", "head", account="wu"), decision, "2026")


async def test_a_case_is_open_to_agencies_and_its_parties_only(connection: AsyncConnection) -> None:
    await connection.execute(insert(case_parties).values(scheme="yanqing", uscc="X", institution="bank-a"))
    assert await party_to_case(connection, caller("bank", "officer", organisation="bank-a"), "X")
    assert not await party_to_case(connection, caller("bank", "officer", organisation="bank-a"), "Y")
    assert not await party_to_case(connection, caller("bank", "officer", organisation="bank-b"), "X")
    assert not await party_to_case(connection, caller("operator", "officer"), "X")
    assert await party_to_case(connection, caller("department", "auditor", organisation="culture"), "X")


# -- the page ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def app(engine: AsyncEngine) -> AsyncIterator[FastAPI]:
    yield application(engine)


async def rows_of(client: httpx.AsyncClient, kind: str) -> list[list[bool]]:
    page = (await client.get("/permissions", params={"kind": kind})).text
    rows = [row for row in re.findall(r"<tr>.*?</tr>", page, re.S) if 'class="mark">' in row and "<td" in row]
    return [[mark == "✓" for mark in re.findall(r'<td class="mark"><span[^>]*>([✓–])', row)] for row in rows]


async def test_the_page_shows_the_table_that_decides(app: FastAPI, engine: AsyncEngine) -> None:
    await person(engine, "li", "drc", "admin")
    async with signed_in(app, "li") as client:
        for kind in KINDS:
            shown = sorted(map(tuple, await rows_of(client, kind)))
            assert shown == sorted(tuple(expected(kind, role, one) for role in ROLES) for one in ACTIONS)
        text = text_of(await client.get("/permissions", params={"kind": "drc"}))
        english = text_of(await client.get("/permissions?kind=drc", headers={"Accept-Language": "en"}))
    left = set(re.findall(r"\b(?:page|reports|users|tokens)\.[a-z_]+\b", text + english))
    assert not left and "否决" in text


async def test_every_kind_of_institution_has_its_page(app: FastAPI, engine: AsyncEngine) -> None:
    for kind in ("bank", "lender", "guarantor", "insurer", "custodian"):
        whole = {"scheme": "yanqing", "kind": kind, "name": kind, "valid_from": date(2026, 1, 1)}
        async with engine.begin() as connection:
            await connection.execute(insert(institutions).values(id=f"{kind}-x", valid_to=date(2028, 1, 1), **whole))
            values = {**whole, "institution": f"{kind}-x", "valid_to": date(2028, 1, 1)}
            await connection.execute(insert(agreements).values(**values))
        await person(engine, f"{kind}-clerk", f"{kind}-x", "officer")
        async with signed_in(app, f"{kind}-clerk") as client:
            page = await client.get("/permissions")
            assert re.search(rf'value="{kind}" selected', page.text)
            shown = set(re.findall(r'<li><a href="(/[a-z]*)"', page.text))
        wanted = {"/" if one == "worklist" else f"/{one}" for one in _pages(kind)}
        assert shown == wanted


def _pages(kind: str) -> set[str]:
    hidden = {"case", "documents", "permissions", "users", "tokens"}
    looked = {one[5:] for one in ACTIONS if one.startswith("page.") and expected(kind, "officer", one)}
    return looked - hidden


# -- the operator over the API -----------------------------------------------------------------------------------

CLOSED = ("/pool", "/ledger/entries", "/ledger/accounts", "/quota/high", "/institutions", "/institutions/bank-a")
CLOSED += ("/departments", "/departments/scitech", "/obligations", "/events", "/progress", "/documents?about=X")
EMPTY = ("/cases", "/loans", "/disbursements", "/recoveries", "/receipts")


def test_the_operator_reads_no_enterprises_data_over_the_api(signed: Gateway) -> None:
    uscc = synthetic_uscc(77_777)
    with signed.client("scitech") as department:
        referral = enterprise(uscc=uscc, letter_no="运维 1 号")
        referred = department.post("/commands/ReferEnterprise", json=referral, headers={"Riskpool-Time": "2026-01-12"})
        assert referred.status_code == 200, referred.text
    signed.settle()
    with signed.client("operator") as client:
        assert {path: client.get(path).status_code for path in CLOSED} == dict.fromkeys(CLOSED, 403)
        assert {path: client.get(path).json()["items"] for path in EMPTY} == {path: [] for path in EMPTY}
        assert client.get(f"/cases/{uscc}").status_code == 404
        assert client.get("/scheme").status_code == 200
        body = {"uscc": uscc, "decision": "admit"}
        assert client.post("/commands/ScreenReferral", json=body).status_code == 403
        event = {"uscc": uscc, "reason": "x"}
        assert client.post("/partner-events/FinancingDeclined", json=event).status_code == 403
        assert client.post("/business-day", json={"date": "2026-01-13"}).status_code == 403


def test_the_api_takes_no_cookie(signed: Gateway) -> None:
    with httpx.Client(base_url=signed.url, cookies={"riskpool": "x"}) as client:
        assert client.get("/v1/schemes/yanqing/cases").status_code == 401
