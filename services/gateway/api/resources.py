"""What can be read (contract.md section 8): agencies see everything, institutions what they take part in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.api.responses import PROBLEMS, answer
from services.gateway.auth.callers import Caller, caller_dependency
from services.gateway.business_days import newest_day
from services.gateway.institution_views import InstitutionDetailView, InstitutionView
from services.gateway.policy import GatewayPolicy
from services.gateway.queries import cases, ledger, loans, obligations, organisations, paging, pool
from services.gateway.reads import reads_of
from services.gateway.views import (
    AccountView,
    CaseDetailView,
    CaseView,
    DepartmentView,
    DisbursementView,
    EntryView,
    LoanView,
    ObligationView,
    Page,
    PoolView,
    QuotaView,
    RecoveryView,
)
from shared.clock import business_date
from shared.messaging.service import Service

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many items.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")]
Filter = Annotated[str | None, Query(max_length=200)]
Year = Annotated[int | None, Query(ge=2000, le=2199)]
RECOMMENDERS = ("department", "township")


@asynccontextmanager
async def reading(service: Service) -> AsyncIterator[AsyncConnection]:
    """A connection to read with; a cursor of another list is a Problem 422."""
    try:
        async with reads_of(service.engine).connect() as connection:
            yield connection
    except paging.BadCursor:
        raise malformed_field("cursor", "is not a cursor of this list") from None


async def business_today(service: Service, connection: AsyncConnection, scheme: str) -> date:
    """The scheme's current business day, else the calendar's."""
    return await newest_day(connection, scheme) or business_date(service.clock.now())


def resource_routes(service: Service) -> APIRouter:
    """The reading side of the API."""
    router = APIRouter(prefix="/v1/schemes/{scheme}", tags=["reading"], responses=PROBLEMS)
    caller_of: Any = Depends(caller_dependency(service))
    _money(router, service, caller_of)
    _cases(router, service, caller_of)
    _loans(router, service, caller_of)
    _organisations(router, service, caller_of)
    _duties(router, service, caller_of)
    return router


def _money(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.get("/pool", response_model=PoolView, summary="The fund: figures, what is held, exposure.")
    async def read_pool(request: Request, caller: Caller = caller_of) -> Response:
        caller.needs_agency_or_custodian()
        async with reading(service) as connection:
            return answer(request, await pool.pool(connection, caller.scheme.id))

    @router.get("/disbursements", response_model=Page[DisbursementView], summary="Transfers, oldest instruction first.")
    async def list_disbursements(
        request: Request,
        caller: Caller = caller_of,
        status: Filter = None,
        loan_no: Filter = None,
        kind: Filter = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        party = None if caller.kind == "custodian" else caller.party
        async with reading(service) as connection:
            return answer(
                request,
                await pool.disbursement_list(
                    connection,
                    caller.scheme.id,
                    status=status,
                    loan_no=loan_no,
                    kind=kind,
                    party=party,
                    limit=limit,
                    cursor=cursor,
                ),
            )

    @router.get("/ledger/entries", response_model=Page[EntryView], summary="The ledger, line by line.")
    async def list_entries(
        request: Request,
        caller: Caller = caller_of,
        account: Filter = None,
        about: Filter = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        caller.needs_agency_or_custodian()
        async with reading(service) as connection:
            return answer(
                request,
                await ledger.entry_list(
                    connection, caller.scheme.id, ledger.Filter(account, about), limit=limit, cursor=cursor
                ),
            )

    @router.get("/ledger/accounts", response_model=Page[AccountView], summary="Balances derived from the entries.")
    async def list_accounts(request: Request, caller: Caller = caller_of) -> Response:
        caller.needs_agency_or_custodian()
        async with reading(service) as connection:
            return answer(request, await ledger.account_list(connection, caller.scheme.id))


def _cases(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.get("/cases", response_model=Page[CaseView], summary="The need list: priority sectors and traits first.")
    async def list_cases(
        request: Request,
        caller: Caller = caller_of,
        status: Filter = None,
        recommender: Filter = None,
        sector: Filter = None,
        q: Annotated[str | None, Query(max_length=200, description="Part of a name, or the start of a code.")] = None,
        sort: cases.Sort = "priority",
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        policy = caller.scheme.policy(GatewayPolicy)
        async with reading(service) as connection:
            return answer(
                request,
                await cases.case_list(
                    connection,
                    caller.scheme.id,
                    policy,
                    status=status,
                    recommender=recommender,
                    sector=sector,
                    q=q,
                    sort=sort,
                    party=caller.party,
                    limit=limit,
                    cursor=cursor,
                ),
            )

    @router.get("/cases/{uscc}", response_model=CaseDetailView, summary="A case with findings and timeline.")
    async def read_case(request: Request, uscc: str, caller: Caller = caller_of) -> Response:
        policy = caller.scheme.policy(GatewayPolicy)
        async with reading(service) as connection:
            found = await cases.one_case(
                connection, caller.scheme.id, policy, uscc, caller.party, caller.organisation
            )
        if found is None:
            raise Problem(404, "unknown", "case", {"uscc": uscc[:64]}, scheme=caller.scheme)
        return answer(request, found)

    @router.get("/quota/high", response_model=QuotaView, summary="The yearly limit of high ratings.")
    async def read_high_quota(request: Request, caller: Caller = caller_of, year: Year = None) -> Response:
        caller.needs_agency()
        policy = caller.scheme.policy(GatewayPolicy)
        async with reading(service) as connection:
            wanted = year or (await business_today(service, connection, caller.scheme.id)).year
            return answer(request, await cases.high_quota(connection, caller.scheme.id, policy, wanted))


def _loans(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.get("/loans", response_model=Page[LoanView], summary="Covered loans by number.")
    async def list_loans(
        request: Request,
        caller: Caller = caller_of,
        status: Filter = None,
        uscc: Filter = None,
        lender: Filter = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        async with reading(service) as connection:
            return answer(
                request,
                await loans.loan_list(
                    connection,
                    caller.scheme.id,
                    status=status,
                    uscc=uscc,
                    lender=lender,
                    party=caller.party,
                    limit=limit,
                    cursor=cursor,
                ),
            )

    @router.get("/loans/{loan_no:path}", response_model=LoanView, summary="A loan: claim, compensation, recovery.")
    async def read_loan(request: Request, loan_no: str, caller: Caller = caller_of) -> Response:
        async with reading(service) as connection:
            found = await loans.one_loan(connection, caller.scheme.id, loan_no, caller.party)
        if found is None:
            raise Problem(404, "unknown", "loan", {"loan_no": loan_no[:64]}, scheme=caller.scheme)
        return answer(request, found)

    @router.get("/recoveries", response_model=Page[RecoveryView], summary="Recoveries of compensated loans.")
    async def list_recoveries(
        request: Request, caller: Caller = caller_of, status: Filter = None, limit: Limit = 100, cursor: Cursor = None
    ) -> Response:
        async with reading(service) as connection:
            return answer(
                request,
                await loans.recovery_list(
                    connection, caller.scheme.id, status=status, party=caller.party, limit=limit, cursor=cursor
                ),
            )


def _organisations(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.get("/institutions", response_model=Page[InstitutionView], summary="Institutions with their agreements.")
    async def list_institutions(
        request: Request, caller: Caller = caller_of, kind: Filter = None, limit: Limit = 100, cursor: Cursor = None
    ) -> Response:
        caller.needs_agency()
        async with reading(service) as connection:
            return answer(
                request,
                await organisations.institution_list(
                    connection, caller.scheme.id, kind=kind, institution=None, limit=limit, cursor=cursor
                ),
            )

    @router.get(
        "/institutions/{institution}",
        response_model=InstitutionDetailView,
        summary="An institution, its default ratio and its part of the payout queue: for agencies and itself.",
    )
    async def read_institution(request: Request, institution: str, caller: Caller = caller_of) -> Response:
        caller.needs_agency_or_own(institution)
        async with reading(service) as connection:
            found = await organisations.one_institution(connection, caller.scheme.id, institution)
        if found is None:
            raise Problem(404, "unknown", "institution", {"institution": institution[:64]}, scheme=caller.scheme)
        return answer(request, found)

    @router.get("/departments", response_model=Page[DepartmentView], summary="Recommenders with quotas and flags.")
    async def list_departments(request: Request, caller: Caller = caller_of) -> Response:
        caller.needs_agency()
        known = [one for one in caller.scheme.organisations.values() if one.kind in RECOMMENDERS]
        async with reading(service) as connection:
            views = await organisations.departments(connection, caller.scheme.id, known)
        return answer(request, Page[DepartmentView](items=views))

    @router.get("/departments/{department}", response_model=DepartmentView, summary="A recommender.")
    async def read_department(request: Request, department: str, caller: Caller = caller_of) -> Response:
        caller.needs_agency()
        known = caller.scheme.organisations.get(department)
        if known is None or known.kind not in RECOMMENDERS:
            raise Problem(404, "unknown", "department", {"department": department[:64]}, scheme=caller.scheme)
        async with reading(service) as connection:
            return answer(request, await organisations.department(connection, caller.scheme.id, known))


def _duties(router: APIRouter, service: Service, caller_of: Any) -> None:
    @router.get("/obligations", response_model=Page[ObligationView], summary="Duties: done, due or overdue.")
    async def list_obligations(
        request: Request,
        caller: Caller = caller_of,
        as_of: date | None = None,
        state: Filter = None,
        kind: Filter = None,
    ) -> Response:
        caller.needs_agency()
        async with reading(service) as connection:
            day = as_of or await business_today(service, connection, caller.scheme.id)
            found = await obligations.obligation_list(connection, caller.scheme, day)
        shown = [one for one in found if state in (None, one.state) and kind in (None, one.kind)]
        return answer(request, Page[ObligationView](items=shown))
