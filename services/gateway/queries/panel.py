"""The joint review: which cases are before the panel, and each case's rounds with their seats and votes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.policy import GatewayPolicy
from services.gateway.projections.tables import agreements, cases, loans, waiting
from services.gateway.queries.cases import case_list
from services.gateway.tables import events
from services.gateway.views import CaseView, Page, TimelineView

STAGES: Final = {
    "admitted": "admitted",
    "voting": "in_review",
    "tie": "in_review",
    "awaiting_consent": "awaiting_consent",
}
"""Where a case stands before the panel, with the case's status."""
_ENDS: Final = (
    "LeadDecisionRequired", "TieDecided", "ConsentRequested", "ConsentRefused", "EnterpriseRated",
    "EnterpriseDeclined", "EnterpriseVetoed", "CaseClosed", "RatingLapsed", "FinancingFailed",
)  # fmt: skip


@dataclass(frozen=True)
class Vote:
    """A seat's vote; ``grade`` is None while it is secret."""

    seat: str
    grade: str | None
    comment: str | None
    event_id: str


@dataclass
class Ballot:
    """One vote of every seat; ``revote`` is set when it brought no majority."""

    votes: dict[str, Vote] = field(default_factory=dict)
    revote: TimelineView | None = None


@dataclass
class Round:
    """A round of the panel: its seats, its one or two ballots, and what came of it in order."""

    number: int
    opened_on: str
    seats: tuple[str, ...]
    ballots: list[Ballot] = field(default_factory=lambda: [Ballot()])
    outcomes: list[TimelineView] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether seats still vote."""
        return not self.outcomes

    @property
    def options(self) -> tuple[str, ...]:
        """The leading grades among which DRC decides, as long as it has not (panel.tie)."""
        last = self.outcomes[-1] if self.outcomes else None
        return tuple(last.data.get("options", ())) if last and last.type == "LeadDecisionRequired" else ()

    def missing(self) -> list[str]:
        """Seats that have not voted in the newest ballot."""
        return [seat for seat in self.seats if seat not in self.ballots[-1].votes]


def rounds_of(timeline: Iterable[TimelineView]) -> list[Round]:
    """Every round of a case, oldest first, out of what happened to it."""
    found: list[Round] = []
    for event in timeline:
        if event.type == "RatingRoundOpened":
            found.append(Round(event.data["round"], event.data["opened_on"], tuple(event.data["seats"])))
        elif found:
            _taken(found[-1], event)
    return found


def _taken(last: Round, event: TimelineView) -> None:
    data = event.data
    if event.type == "VoteCast":
        last.ballots[-1].votes[data["seat"]] = Vote(data["seat"], data.get("grade"), data.get("comment"), event.id)
    elif event.type == "RevoteOpened":
        last.ballots[-1].revote = event
        last.ballots.append(Ballot())
    elif event.type in _ENDS:
        last.outcomes.append(event)


@dataclass(frozen=True)
class Before:
    """A case before the panel."""

    case: CaseView
    stage: str
    seats: tuple[str, ...]
    missing: tuple[str, ...]
    since: date | None


async def before_panel(
    connection: AsyncConnection,
    scheme: str,
    policy: GatewayPolicy,
    *,
    stage: str | None,
    party: str | None,
    limit: int,
    cursor: str | None,
) -> Page[Before]:
    """Cases before the panel, priority first; ``stage`` is one of STAGES."""
    tied = select(waiting.c.about).where(waiting.c.scheme == scheme, waiting.c.kind == "tie")
    among = {"tie": cases.c.uscc.in_(tied), "voting": cases.c.uscc.not_in(tied)}.get(stage or "")
    status = STAGES[stage] if stage in STAGES else tuple(sorted(set(STAGES.values())))
    found = await case_list(
        connection, scheme, policy, status=status, recommender=None, party=party, limit=limit, cursor=cursor,
        among=among,
    )  # fmt: skip
    codes = [case.uscc for case in found.items]
    seats = select(cases.c.uscc, cases.c.seats).where(cases.c.scheme == scheme, cases.c.uscc.in_(codes))
    by_code: dict[str, list[str]] = {row.uscc: row.seats for row in await connection.execute(seats)}
    open_work = select(waiting).where(
        waiting.c.scheme == scheme, waiting.c.kind.in_(("vote", "tie", "round", "consent")), waiting.c.about.in_(codes)
    )
    rows = (await connection.execute(open_work)).all()
    voting = {(row.about, row.organisation) for row in rows if row.kind == "vote"}
    ties = {row.about for row in rows if row.kind == "tie"}
    since = {row.about: row.since for row in sorted(rows, key=lambda row: row.since, reverse=True)}
    items = []
    for case in found.items:
        in_review = case.status == "in_review"
        at = "tie" if in_review and case.uscc in ties else "voting" if in_review else case.status
        seated = tuple(by_code.get(case.uscc, ())) if at != "admitted" else ()
        missing = tuple(seat for seat in seated if (case.uscc, seat) in voting)
        items.append(Before(case, at, seated, missing, since.get(case.uscc)))
    return Page(items=items, next_cursor=found.next_cursor)


async def answered(connection: AsyncConnection, scheme: str, codes: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Pushes and their answers by case, in order (push.failed)."""
    if not codes:
        return {}
    query = select(events).where(
        events.c.scheme == scheme,
        events.c.about.overlap(list(codes)),
        events.c.type.in_(("FinancingPushed", "FinancingRefused", "LoanCovered")),
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in await connection.execute(query.order_by(events.c.position)):
        found.setdefault(row.data["uscc"], []).append(row)
    return found


@dataclass(frozen=True)
class Signed:
    """An institution with an agreement that counts on a day."""

    institution: str
    kind: str
    products: tuple[str, ...]


async def signed_on(connection: AsyncConnection, scheme: str, day: date, kinds: Sequence[str] = ()) -> list[Signed]:
    """Institutions whose agreement counts on a day and was not ended by a sanction (push.rated)."""
    query = select(agreements).where(
        agreements.c.scheme == scheme,
        agreements.c.valid_from <= day,
        agreements.c.valid_to >= day,
        ~agreements.c.terminated,
    )
    if kinds:
        query = query.where(agreements.c.kind.in_(tuple(kinds)))
    rows = await connection.execute(query.order_by(agreements.c.kind, agreements.c.institution))
    return [Signed(row.institution, row.kind, tuple(row.products)) for row in rows]


async def conflicts(
    connection: AsyncConnection, scheme: str, uscc: str, seats: Sequence[str], pushed_to: Sequence[str], day: date
) -> dict[str, str]:
    """Seats with an interest of their own: ``own_cover`` has lent or guaranteed, ``pushed`` was asked, ``lender`` may.

    The scheme lets a cooperating bank vote all the same (panel.seats, 三(三)): the page says so, nothing is refused.
    """
    signed = await signed_on(connection, scheme, day, ("bank", "lender", "guarantor"))
    found = {one.institution: "lender" for one in signed if one.institution in seats and one.products}
    found |= {seat: "pushed" for seat in seats if seat in pushed_to}
    query = select(loans.c.lender, loans.c.guarantor, loans.c.payee).where(
        loans.c.scheme == scheme, loans.c.uscc == uscc, or_(loans.c.lender.in_(seats), loans.c.guarantor.in_(seats))
    )
    for row in await connection.execute(query):
        found |= {seat: "own_cover" for seat in seats if seat in (row.lender, row.guarantor, row.payee)}
    return found
