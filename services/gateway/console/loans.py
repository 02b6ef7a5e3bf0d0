"""Covered loans: the list, and one loan whole - repayments, claim, compensation, recovery - with its parties' forms."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.api.resources import Cursor, Filter, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.claims import statement_rows
from services.gateway.console.documents import kinds_of
from services.gateway.console.shell import Shell, today_of
from services.gateway.documents.queries import document_list
from services.gateway.queries import claims, fund_history, loans, pool, trail
from services.gateway.queries.disclosure import secret_votes
from services.gateway.queries.enterprises import names_of
from services.gateway.queries.write_offs import write_offs
from services.gateway.views import LoanView
from shared.contracts.partners import CLAIMANTS

STATUSES = ("covered", "claimed", "verified", "approved", "compensated", "rejected", "repaid", "closed")
Text = Annotated[str, Query(max_length=200)]


def routes(shell: Shell) -> APIRouter:
    """``/loans`` and ``/loans/{loan_no}``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/loans")
    async def loan_list(
        request: Request,
        caller: Caller = shell.signed_in,
        status: Filter = None,
        lender: Filter = None,
        uscc: Filter = None,
        cursor: Cursor = None,
    ) -> Response:
        needs(caller, "page.loans")
        async with reading(shell.service) as connection:
            found = await loans.loan_list(
                connection,
                caller.scheme.id,
                status=status or None,
                uscc=(uscc or "").strip().upper() or None,
                lender=lender or None,
                party=caller.party,
                limit=50,
                cursor=cursor,
            )
            names = await names_of(connection, caller.scheme.id, (loan.uscc for loan in found.items))
            lenders = await loans.lenders(connection, caller.scheme.id) if caller.party is None else []
        return await shell.page(
            request, caller, "loans/list.html", found=found, names_by_code=names, lenders=lenders, statuses=STATUSES
        )

    @router.get("/loans/{loan_no:path}")
    async def one_loan(request: Request, loan_no: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.loans")
        async with reading(shell.service) as connection:
            loan = await loans.one_loan(connection, caller.scheme.id, loan_no, caller.party)
            if loan is None:
                raise Problem(404, "unknown", "loan", {"loan_no": loan_no[:64]}, scheme=caller.scheme)
            found = await _about(connection, caller, loan)
            found |= await _to_file(request, connection, caller, loan)
            found["documents"] = (await document_list(connection, caller, loan.loan_no, seen=True)).items
        found |= {"about": loan.loan_no, "document_kinds": kinds_of(caller)}
        return await shell.page(request, caller, "loans/loan.html", loan=loan, claim=loan.claim or {}, **found)

    return router


async def _about(connection: AsyncConnection, caller: Caller, loan: LoanView) -> dict[str, Any]:
    """Everything that is known of a loan besides its own figures."""
    scheme = caller.scheme.id
    history = await trail.history_of(connection, scheme, loan.loan_no)
    hidden = await secret_votes(connection, history, caller.organisation)
    paid = await pool.disbursement_list(
        connection, scheme, status=None, loan_no=loan.loan_no, kind=None, party=caller.party, limit=100, cursor=None
    )
    names = await names_of(connection, scheme, [loan.uscc])
    return {
        "name": names.get(loan.uscc, ""),
        "history": history,
        "hidden": hidden,
        "repayments": [row for row in history if row.type == "PrincipalRepaid"],
        "shares": [row for row in history if row.type == "RecoveryShared"],
        "remittances": [row for row in history if row.type in ("RecoveryRemitted", "ClawbackReturned")],
        "ids": {row.type: row.id for row in history},
        "disbursements": paid.items,
        "write_offs": await write_offs(connection, scheme, party=caller.party, loan_no=loan.loan_no),
    }


async def _to_file(request: Request, connection: AsyncConnection, caller: Caller, loan: LoanView) -> dict[str, Any]:
    """What this caller may report or decide on this loan now."""
    scheme, own = caller.scheme.id, caller.organisation
    party = own in (loan.lender, loan.guarantor)
    insured = loan.product == "insurance"
    claimable = party and caller.kind in CLAIMANTS and loan.status == "covered" and not insured
    owed = []
    if claimable:
        today, days = today_of(request), int(str(caller.scheme.value("claim.statement_days")))
        owed = await claims.statements(connection, scheme, own, today, days)
    return {
        "owed": owed,
        "prefilled": statement_rows(owed, today_of(request)),
        "can_repay": own == loan.lender and loan.outstanding > 0 and loan.status not in ("closed", "compensated"),
        "can_claim": claimable,
        "can_recover": own in (loan.payee, loan.lender, loan.guarantor)
        and loan.recovery.status not in ("none", "closed"),
        "can_insure": own == loan.insurer,
        "is_insured": insured,
        "subsidies": [one for one in await fund_history.subsidies(connection, scheme) if one.loan_no == loan.loan_no],
        "can_track": own == loan.recommender,
    }
