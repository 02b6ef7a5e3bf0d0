"""Who may see a case, and who may not decide one: the object gate, and the separation of duties."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem
from services.gateway.auth.callers import Caller
from services.gateway.projections.tables import case_parties, loans
from services.gateway.tables import actions, events
from shared.messaging.service import Service

# The commands that prepare what another command decides; the same person may not do both.
DRAFTED: Final[Mapping[str, tuple[str, ...]]] = {
    "SubmitClaimBatch": ("OpenClaimBatch", "SetVerifiedPrincipal"),
    "ConsentClaimBatch": ("OpenClaimBatch", "SetVerifiedPrincipal", "SubmitClaimBatch"),
    "ApproveSubsidy": ("ApplySubsidy",),
    # Two organisations approve: one person who belongs to both may speak for one of them only.
    "ApproveFee": ("ApproveFee",),
    "ApproveWriteOff": ("ApproveWriteOff",),
}
OBJECT: Final[Mapping[str, str]] = {
    "SubmitClaimBatch": "half",
    "ConsentClaimBatch": "half",
    "ApproveSubsidy": "policy_no",
    "ApproveFee": "year",
    "ApproveWriteOff": "loan_no",
}


async def party_to_case(connection: AsyncConnection, caller: Caller, uscc: str) -> bool:
    """Whether a case is the caller's to see: agencies see all, institutions those they take part in."""
    if caller.party is None:
        return True
    part = select(case_parties.c.uscc).where(
        case_parties.c.scheme == caller.scheme.id,
        case_parties.c.institution == caller.party,
        case_parties.c.uscc == uscc,
    )
    return (await connection.execute(part)).first() is not None


async def drafted_by(connection: AsyncConnection, caller: Caller, action: str, about: str) -> bool:
    """Whether this person prepared what ``action`` decides about ``about``; never so for a system's token."""
    if caller.account is None or action not in DRAFTED:
        return False
    drafted = select(actions.c.id).where(
        actions.c.scheme == caller.scheme.id,
        actions.c.account == caller.account,
        actions.c.outcome == "accepted",
        or_(*(_prepared(caller, draft, action, about) for draft in DRAFTED[action])),
    )
    return (await connection.execute(drafted.limit(1))).first() is not None


def _prepared(caller: Caller, draft: str, action: str, about: str) -> ColumnElement[bool]:
    same = actions.c.action == draft
    if draft == action:
        return and_(same, actions.c.about == about, actions.c.organisation != caller.organisation)
    if draft == "SetVerifiedPrincipal":
        in_half = and_(loans.c.scheme == caller.scheme.id, loans.c.claim["half"].astext == about)
        return and_(same, actions.c.about.in_(select(loans.c.loan_no).where(in_half)))
    if draft == "ApplySubsidy":
        applied = and_(
            events.c.scheme == caller.scheme.id,
            events.c.type == "SubsidyApplied",
            events.c.data["policy_no"].astext == about,
            actions.c.events.has_key(events.c.id),
        )
        return and_(same, exists().where(applied))
    return and_(same, actions.c.about == about)


async def needs_another_person(service: Service, caller: Caller, action: str, data: Mapping[str, Any]) -> None:
    """Problem 403 when the person who drafted would also decide (rule ``permission``, reason ``same_person``)."""
    about = str(data.get(OBJECT.get(action, ""), ""))
    async with service.engine.connect() as connection:
        if about and await drafted_by(connection, caller, action, about):
            raise Problem(403, "permission", "same_person", {"about": about}, scheme=caller.scheme)
