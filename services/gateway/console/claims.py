"""Claims: what is accepted, each half-year's batch, its votes and what it would pay, consent item by item."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.api.resources import reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may, needs
from services.gateway.console.pieces import yuan
from services.gateway.console.shell import Shell, today_of
from services.gateway.queries import claims
from services.gateway.queries.enterprises import names_of
from services.gateway.views import LoanView
from shared.calendar import half_of
from shared.contracts.partners import CLAIMANTS

_HALF = re.compile(r"20\d\dH[12]", re.ASCII)


def routes(shell: Shell) -> APIRouter:
    """``/claims`` and ``/claims/{half}``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/claims")
    async def claim_batches(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.claims")
        today = today_of(request)
        key = ("claims", caller.scheme.id, caller.organisation, today)
        found = await shell.kept(request, key, lambda connection: _listed(connection, caller, today))
        return await shell.page(
            request,
            caller,
            "claims/list.html",
            **found,
            this_half=half_of(today),
            statement_days=_statement_days(caller),
            nothing=claims.Tally(),
        )

    @router.get("/claims/{half}")
    async def claim_batch(request: Request, half: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.claims")
        if not _HALF.fullmatch(half):
            raise Problem(404, "unknown", "batch", {"half": half[:16]}, scheme=caller.scheme)
        return await _batch_page(shell, request, caller, half)

    return router


async def _listed(connection: AsyncConnection, caller: Caller, today: date) -> dict[str, Any]:
    scheme = caller.scheme.id
    loose = await claims.waiting(connection, scheme, caller.party)
    found = await claims.batches(connection, scheme)
    tallies = await claims.tallies(connection, scheme, caller.party)
    owed: list[claims.Statement] = []
    claimable: Sequence[Row[Any]] = ()
    own: list[LoanView] = []
    if caller.kind in CLAIMANTS:
        owed = await _statements(connection, caller, today)
        claimable = await claims.claimable(connection, scheme, caller.organisation)
        own = await claims.own_claims(connection, scheme, caller.organisation)
    codes = [loan.uscc for part in (*loose.values(), own) for loan in part] + [row.uscc for row in claimable]
    names = await names_of(connection, scheme, codes)
    return {
        "waiting": loose,
        "batches": {half: one for half, one in found.items() if caller.party is None or half in tallies},
        "tallies": tallies,
        "names_by_code": names,
        "owed": owed,
        "prefilled": statement_rows(owed, today),
        "choices": [
            (one.loan_no, f"{one.loan_no} {names.get(one.uscc, '')} {yuan(one.outstanding_fen)}") for one in claimable
        ],
        "own": own,
        "openable": [half for half in loose if half < half_of(today) and half not in found],
    }


async def _batch_page(shell: Shell, request: Request, caller: Caller, half: str) -> Response:
    today, scheme = today_of(request), caller.scheme.id
    async with reading(shell.service) as connection:
        found = await claims.batches(connection, scheme)
        loose = await claims.waiting(connection, scheme, caller.party)
        batch = found.get(half, claims.Batch(half))
        # A batch takes every claim accepted by its cut-off, also those of earlier halves.
        early = [loan for accepted, part in loose.items() if accepted <= half for loan in part]
        wanted = batch.loan_nos or [loan.loan_no for loan in early]
        shown = await claims.claims_of(connection, scheme, wanted, party=caller.party, viewer=caller.organisation)
        if not shown and (caller.party is not None or half not in {*found, *loose}):
            raise Problem(404, "unknown", "batch", {"half": half}, scheme=caller.scheme)
        claimants = sorted({(one.loan.claim or {}).get("claimant", "") for one in shown})
        owed = [
            one
            for claimant in claimants
            if caller.party in (None, claimant)
            for one in await claims.statements(connection, scheme, claimant, today, _statement_days(caller))
        ]
        names = await names_of(connection, scheme, (one.loan.uscc for one in shown))
    return await shell.page(
        request,
        caller,
        "claims/batch.html",
        half=half,
        batch=batch,
        claims=shown,
        tally=_tally(shown),
        names_by_code=names,
        owed=owed,
        statement_days=_statement_days(caller),
        undecided=[one for one in shown if not one.decided],
        verified=[one for one in shown if one.decided and one.loan.status != "rejected"],
        can_open=may(caller, "OpenClaimBatch") and batch.status == "waiting" and half < half_of(today),
        is_over=half < half_of(today),
    )


def _tally(shown: list[claims.Claim]) -> dict[str, int]:
    names = ("claimed_fen", "verified_fen", "amount_fen")
    return {name: sum(getattr(one, name) for one in shown) for name in names}


def _statement_days(caller: Caller) -> int:
    return int(str(caller.scheme.value("claim.statement_days")))


async def _statements(connection: AsyncConnection, caller: Caller, today: date) -> list[claims.Statement]:
    return await claims.statements(
        connection, caller.scheme.id, caller.organisation, today, _statement_days(caller)
    )


def statement_rows(owed: list[claims.Statement], today: date) -> list[dict[str, str]]:
    """Rows of a claim's form, one for each loan that needs a statement; a valid text stands there already."""
    return [
        {
            "loan_no": one.loan.loan_no,
            "as_of": str(one.as_of if one.state == "valid" and one.as_of else today),
            "text": one.text if one.state == "valid" else "",
        }
        for one in owed
    ]

