"""Audit: events of anything with cause and effect, who did what when, and the receipts of partner events."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.api.resources import Cursor, reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.ledger import day_of
from services.gateway.console.shell import Shell
from services.gateway.queries import trail
from services.gateway.queries.disclosure import disclosed, secret_votes
from services.gateway.queries.enterprises import names_of
from services.gateway.queries.events import receipts_of
from shared.contracts.registry import COMMANDS, EVENTS, PARTNER_EVENTS

PAGE = 50
OUTCOMES = ("accepted", "refused")
# What persons do besides commands and reports: they sign in, and look after users, tokens and documents.
OWN_ACTIONS = (
    "sign-in", "documents.upload", "users.add", "users.roles", "users.password", "users.disable", "users.enable",
    "tokens.create", "tokens.revoke", "uploads.add", "bus.issue", "bus.end", "parked.replay", "parked.discard",
)  # fmt: skip
RECEIPTS = ("accepted", "refused", "duplicate", "unreadable")


def routes(shell: Shell) -> APIRouter:
    """``/audit``, ``/audit/events/{id}``, ``/audit/actions`` and ``/receipts``."""
    router = APIRouter(include_in_schema=False)
    _events(shell, router)
    _actions(shell, router)
    _receipts(shell, router)
    return router


def sees_actions(caller: Caller) -> bool:
    """Who may read what persons did: auditors, and the commission's head."""
    return "auditor" in caller.roles or (caller.kind == "drc" and "head" in caller.roles)


def _events(shell: Shell, router: APIRouter) -> None:
    @router.get("/audit")
    async def event_trail(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.audit")
        caller.needs_agency()
        asked, days = _asked(request, "about", "kind", "service")
        async with reading(shell.service) as connection:
            found = await trail.trail(
                connection, caller.scheme.id, **asked, days=days, limit=PAGE, cursor=cursor or None
            )
            data = await _disclosed(connection, caller, found.items)
            names = await names_of(connection, caller.scheme.id, (row.subject for row in found.items))
        return await shell.page(
            request,
            caller,
            "audit/events.html",
            found=found,
            data=data,
            names_by_code=names,
            asked=asked,
            days=days,
            types=sorted({name for _, name in EVENTS}),
            services=trail.SERVICES,
            sees_actions=sees_actions(caller),
        )

    @router.get("/audit/events/{event_id:path}")
    async def one_event(request: Request, event_id: str, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.audit")
        caller.needs_agency()
        scheme = caller.scheme.id
        async with reading(shell.service) as connection:
            event = await trail.one_event(connection, scheme, event_id)
            if event is None:
                raise Problem(404, "unknown", "event", {"id": event_id[:64]}, scheme=caller.scheme)
            chain = await trail.chain(connection, event)
            first = chain[0].event
            beside = await trail.siblings(connection, first)
            data = await _disclosed(connection, caller, [event])
            by = await trail.actions_of(connection, scheme, first.id) if sees_actions(caller) else []
            told = await receipts_of(connection, scheme, first.causation_id, None) if first.causation_id else []
        return await shell.page(
            request,
            caller,
            "audit/event.html",
            event=event,
            data=data[event.id],
            chain=chain,
            beside=beside,
            actions=by,
            receipts=told,
            cause=first.causation_id,
        )


async def _disclosed(
    connection: AsyncConnection, caller: Caller, rows: Sequence[Row[Any]]
) -> Mapping[str, dict[str, Any]]:
    secret = await secret_votes(connection, rows, caller.organisation)
    return {row.id: disclosed(row, secret, caller.party) for row in rows}


def _actions(shell: Shell, router: APIRouter) -> None:
    @router.get("/audit/actions")
    async def action_trail(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.audit")
        caller.needs_agency()
        if not sees_actions(caller):
            raise Problem(403, "permission", "head_only", scheme=caller.scheme)
        asked, days = _asked(request, "about", "action", "organisation", "outcome")
        async with reading(shell.service) as connection:
            found = await trail.action_list(
                connection, caller.scheme.id, **asked, days=days, limit=PAGE, cursor=cursor or None
            )
        return await shell.page(
            request,
            caller,
            "audit/actions.html",
            found=found,
            asked=asked,
            days=days,
            names_of_actions=(*sorted({*COMMANDS, *PARTNER_EVENTS}), *OWN_ACTIONS),
            own_actions=OWN_ACTIONS,
            outcomes=OUTCOMES,
        )


def _asked(request: Request, *names: str) -> tuple[dict[str, Any], trail.Days]:
    """The filters that were filled in: texts by name, and days."""
    texts = {name: request.query_params.get(name, "").strip()[:200] for name in names}
    since, until = (day_of(name, request.query_params.get(name, "").strip()) for name in ("since", "until"))
    return texts, trail.Days(since, until)


def _receipts(shell: Shell, router: APIRouter) -> None:
    @router.get("/receipts")
    async def receipt_list(request: Request, caller: Caller = shell.signed_in, cursor: Cursor = None) -> Response:
        needs(caller, "page.receipts")
        asked = {name: request.query_params.get(name, "").strip()[:200] for name in ("institution", "outcome")}
        async with reading(shell.service) as connection:
            found = await trail.newest_receipts(
                connection,
                caller.scheme.id,
                institution=caller.party or asked["institution"] or None,
                outcome=asked["outcome"],
                limit=PAGE,
                cursor=cursor or None,
            )
        return await shell.page(
            request,
            caller,
            "audit/receipts.html",
            found=found,
            asked=asked,
            outcomes=RECEIPTS,
            every=caller.party is None,
        )
