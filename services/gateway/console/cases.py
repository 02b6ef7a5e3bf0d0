"""The need list and the case file: what each enterprise asks for, how far it is, and what can be done now."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.api.resources import RECOMMENDERS, Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.documents import kinds_of
from services.gateway.console.sheets import Cell, as_csv, as_xlsx, download
from services.gateway.console.shell import Shell, page_language, today_of
from services.gateway.console.steps import steps_of
from services.gateway.console.telling import ECHOES, figured, told
from services.gateway.console.words import say, word
from services.gateway.documents.queries import document_list
from services.gateway.policy import GatewayPolicy
from services.gateway.queries import cases, loans
from services.gateway.queries.enterprises import names_of
from services.gateway.views import CaseDetailView, CaseView, Page
from shared.scheme.refusals import Language

STATUSES = (
    "referred", "returned", "admitted", "in_review", "awaiting_consent", "rated", "pushed", "financed", "refused",
    "withdrawn", "declined", "vetoed", "exhausted", "closed",
)  # fmt: skip
SCREENABLE = ("referred", "returned")
VETOABLE = ("in_review", "awaiting_consent", "rated")
PAGE, EXPORTED_AT_ONCE = 50, 500
COLUMNS = (
    "uscc", "name", "recommender", "sector", "size", "need", "status", "grade", "ratio", "referred_on", "loan_no",
)  # fmt: skip
Choice = Annotated[str, Query(max_length=200)]


def routes(shell: Shell) -> APIRouter:
    """``/cases``, its export and ``/cases/{uscc}``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/cases")
    async def need_list(
        request: Request,
        caller: Caller = shell.signed_in,
        q: Choice = "",
        status: Choice = "",
        sector: Choice = "",
        recommender: Choice = "",
        sort: cases.Sort = "priority",
        cursor: Cursor = None,
    ) -> Response:
        needs(caller, "page.cases")
        policy = caller.scheme.policy(GatewayPolicy)

        async def listed(connection: AsyncConnection) -> Page[CaseView]:
            return await cases.case_list(
                connection, caller.scheme.id, policy, status=status, recommender=recommender, sector=sector, q=q,
                sort=sort, party=caller.party, limit=PAGE, cursor=cursor,
            )  # fmt: skip

        async def counted(connection: AsyncConnection) -> int:
            return await cases.case_count(
                connection, caller.scheme.id, policy, status=status, recommender=recommender, sector=sector, q=q,
                party=caller.party,
            )  # fmt: skip

        key = (caller.scheme.id, caller.party, status, sector, recommender, q)
        found = await shell.kept(request, ("cases", *key, sort, cursor), listed)
        number = await shell.kept(request, ("number", *key), counted)
        kept = {"q": q, "status": status, "sector": sector, "recommender": recommender, "sort": sort}
        return await shell.page(
            request, caller, "cases/list.html", found=found, number=number, kept=kept, statuses=STATUSES,
            sectors=_sectors(policy), sorts=cases.SORTS, recommenders=_recommenders(caller),
        )  # fmt: skip

    @router.get("/cases/export.{form}")
    async def export(
        request: Request,
        form: str,
        caller: Caller = shell.signed_in,
        q: Choice = "",
        status: Choice = "",
        sector: Choice = "",
        recommender: Choice = "",
        sort: cases.Sort = "priority",
    ) -> Response:
        needs(caller, "page.cases")
        if form not in ("csv", "xlsx"):
            raise Problem(404, "unknown", "page", scheme=caller.scheme)
        policy = caller.scheme.policy(GatewayPolicy)
        found: list[CaseView] = []
        cursor: str | None = None
        async with reading(shell.service) as connection:
            while True:  # some at a time, so that other pages are answered meanwhile
                some = await cases.case_list(
                    connection, caller.scheme.id, policy, status=status, recommender=recommender, sector=sector, q=q,
                    sort=sort, party=caller.party, limit=EXPORTED_AT_ONCE, cursor=cursor,
                )  # fmt: skip
                found, cursor = found + some.items, some.next_cursor
                if not cursor:
                    break
        language = page_language(request)
        heads = [word(language, "field", name) for name in COLUMNS]
        rows = [_cells(caller, language, case) for case in found]
        made = as_csv if form == "csv" else _sheet(say(language, "需求名单"))
        content = await asyncio.to_thread(made, heads, rows)
        return download(content, f"need-list-{today_of(request)}.{form}")

    @router.get("/cases/{uscc}")
    async def case_file(request: Request, uscc: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.case")
        async with reading(shell.service) as connection:
            case = await case_of(connection, caller, uscc)
            loan = await loans.one_loan(connection, caller.scheme.id, case.loan_no, None) if case.loan_no else None
            partners = (loan.lender, loan.payee, loan.guarantor, loan.insurer) if loan else ()
            group = _group(case)
            names = await names_of(connection, caller.scheme.id, group)
            documents = await document_list(connection, caller, case.uscc, seen=True)
        return await shell.page(
            request, caller, "cases/case.html", case=case,
            loan=loan if caller.party is None or caller.party in partners else None, group=group, names_by_code=names,
            steps=steps_of(case, loan), told=told, figured=figured, echoes=ECHOES, applied=case.application or {},
            documents=documents.items, about=case.uscc, document_kinds=kinds_of(caller),
            **_possible(caller, case),
        )  # fmt: skip

    return router


async def case_of(connection: AsyncConnection, caller: Caller, uscc: str) -> CaseDetailView:
    """A case that the caller may see; Problem 404 for any other."""
    policy = caller.scheme.policy(GatewayPolicy)
    found = await cases.one_case(connection, caller.scheme.id, policy, uscc, caller.party, caller.organisation)
    if found is None:
        raise Problem(404, "unknown", "case", {"uscc": uscc[:64]}, scheme=caller.scheme)
    return found


def _possible(caller: Caller, case: CaseDetailView) -> dict[str, bool]:
    """What this case's status and its recommender allow this caller; the forms ask for the permission themselves."""
    own = case.recommender == caller.organisation
    return {
        "can_screen": case.status in SCREENABLE,
        "can_amend": own and case.status in SCREENABLE,
        "can_withdraw": own and case.status in (*SCREENABLE, "admitted", *VETOABLE, "pushed"),
        "can_veto": case.status in VETOABLE,
        "can_track": own and case.loan_no is not None,
        "in_panel": case.status in ("admitted", "in_review", "awaiting_consent"),
        "to_finance": case.status in ("rated", "pushed"),
    }


def _group(case: CaseDetailView) -> dict[str, str]:
    """Enterprises that share this one's single loan, by code: ``affiliate`` or ``shareholder``, as admitted."""
    admitted = [one.data for one in case.timeline if one.type == "EnterpriseAdmitted"]
    if not admitted:
        return {}
    holders = dict.fromkeys(admitted[-1].get("shareholders", ()), "shareholder")
    return {**holders, **dict.fromkeys(admitted[-1].get("affiliates", ()), "affiliate")}


def _sectors(policy: GatewayPolicy) -> tuple[str, ...]:
    return (*policy.priority_sectors, "other")


def _recommenders(caller: Caller) -> list[str]:
    return [one.id for one in caller.scheme.organisations.values() if one.kind in RECOMMENDERS]


def _cells(caller: Caller, language: Language, case: CaseView) -> Sequence[Cell]:
    known = caller.scheme.organisations.get(case.recommender)
    recommender = (known.en if language == "en" else known.name) if known else case.recommender
    return (
        case.uscc,
        case.name,
        recommender,
        word(language, "value", case.sector),
        word(language, "size", case.size),
        Decimal(case.need) if case.need else None,
        word(language, "status", case.status),
        word(language, "grade", case.grade),
        case.ratio,
        case.referred_on,
        case.loan_no,
    )


def _sheet(title: str) -> Any:
    def made(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
        return as_xlsx(title, heads, rows)

    return made
