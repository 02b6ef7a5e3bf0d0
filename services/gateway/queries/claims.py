"""Half-year batches of claims: what is claimed, how it is verified, what it would pay, and which statements stand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import cases, loans
from services.gateway.queries.loans import STATUS, amounts_of, loan_list, loans_of
from services.gateway.tables import events
from services.gateway.views import LoanView
from shared.calendar import half_of
from shared.clock import business_date
from shared.money import multiply, parse_yuan

MOST_CHOICES = 300
BATCH_EVENTS = ("ClaimBatchOpened", "ClaimBatchSubmitted", "CompensationApproved", "ClaimBatchRefused")
CLOSING = ("ClaimVerified", "ClaimRejected", "ClaimRevoteOpened")
_OF_A_CLAIM = ("LoanCovered", "ClaimAccepted", "VerifiedPrincipalSet", "ClaimVoteCast", *CLOSING)


@dataclass(frozen=True)
class Batch:
    """A half-year's batch; ``status`` is waiting before it is opened, then open, submitted, refused or consented."""

    half: str
    status: str = "waiting"
    loan_nos: tuple[str, ...] = ()
    opened_on: str = ""
    submitted: tuple[str, ...] = ()
    submitted_on: date | None = None
    decided_on: date | None = None
    document_no: str = ""
    excluded: tuple[tuple[str, str], ...] = ()
    event_id: str = ""


@dataclass(frozen=True)
class Tally:
    """What a half-year's claims add up to."""

    claims: int = 0
    claimed_fen: int = 0
    base_fen: int = 0
    verified: int = 0
    verified_fen: int = 0
    rejected: int = 0
    approved_fen: int = 0


@dataclass(frozen=True)
class Vote:
    """A seat's opinion; hidden while its round is open, except from the seat itself."""

    seat: str
    cast: bool
    opinion: str = ""
    comment: str = ""
    event_id: str = ""


@dataclass(frozen=True)
class Round:
    """One vote of the seats on a claim."""

    number: int
    votes: tuple[Vote, ...]
    open: bool


@dataclass(frozen=True)
class Claim:
    """A claim under verification with everything that led to its compensation."""

    loan: LoanView
    seats: tuple[str, ...]
    rounds: tuple[Round, ...]
    claimed_fen: int
    base_fen: int
    verified_fen: int
    lowered_for: str
    reduction: Decimal
    amount_fen: int
    evidence: tuple[str, ...]
    decided: bool
    decision: str
    events: Mapping[str, str] = field(default_factory=dict)

    @property
    def voted(self) -> int:
        """Votes in the newest round."""
        return sum(vote.cast for vote in self.rounds[-1].votes) if self.rounds else 0

    def waits_for(self, seat: str) -> bool:
        """Whether this seat has not voted in the open round."""
        return any(one.open and any(v.seat == seat and not v.cast for v in one.votes) for one in self.rounds)


@dataclass(frozen=True)
class Statement:
    """The newest recovery statement of an institution on one of its compensated, open loans (claim.statement)."""

    institution: str
    loan: LoanView
    as_of: date | None
    text: str
    valid_until: date | None
    state: str


async def batches(connection: AsyncConnection, scheme: str) -> dict[str, Batch]:
    """Every batch opened so far, newest half first."""
    query = select(events).where(events.c.scheme == scheme, events.c.type.in_(BATCH_EVENTS)).order_by(events.c.position)
    found: dict[str, Batch] = {}
    for row in await connection.execute(query):
        half = row.data["half"]
        found[half] = _after(found.get(half, Batch(half)), row)
    return dict(sorted(found.items(), reverse=True))


def _after(batch: Batch, row: Row[Any]) -> Batch:
    data = row.data
    match row.type:
        case "ClaimBatchOpened":
            return replace(
                batch, status="open", loan_nos=tuple(data["loan_nos"]), opened_on=data["opened_on"], event_id=row.id
            )
        case "ClaimBatchSubmitted":
            on = business_date(row.at)
            return replace(batch, status="submitted", submitted=tuple(data["loan_nos"]), submitted_on=on)
        case _:
            excluded = tuple((one["loan_no"], one["reason"]) for one in data.get("excluded") or ())
            status = "consented" if row.type == "CompensationApproved" else "refused"
            return replace(
                batch,
                status=status,
                decided_on=business_date(row.at),
                document_no=data["document_no"],
                excluded=excluded,
                event_id=row.id,
            )


def _seen_by(party: str | None) -> list[ColumnElement[bool]]:
    """Claims that an institution sees: of loans that it takes part in, and those that it verifies as a seat."""
    if party is None:
        return []
    seat = select(cases.c.uscc).where(
        cases.c.scheme == loans.c.scheme, cases.c.uscc == loans.c.uscc, cases.c.seats.has_key(party)
    )
    own = (loans.c[name] == party for name in ("lender", "payee", "guarantor", "insurer"))
    return [or_(*own, seat.exists())]


async def waiting(connection: AsyncConnection, scheme: str, party: str | None) -> dict[str, list[LoanView]]:
    """Accepted claims that no batch holds yet, by the half-year of their acceptance."""
    loose = loans.c.claim["half"].astext.is_(None)
    found: dict[str, list[LoanView]] = {}
    for loan in await loans_of(connection, scheme, None, loans.c.claim_status == "claimed", loose, *_seen_by(party)):
        accepted = date.fromisoformat((loan.claim or {})["accepted_on"])
        found.setdefault(half_of(accepted), []).append(loan)
    return dict(sorted(found.items(), reverse=True))


async def own_claims(connection: AsyncConnection, scheme: str, institution: str) -> list[LoanView]:
    """Loans that an institution has claimed for, or that it is paid for, newest claim first."""
    filed = or_(loans.c.claim["claimant"].astext == institution, loans.c.payee == institution)
    found = await loans_of(connection, scheme, institution, loans.c.claim_status.is_not(None), filed)
    return sorted(found, key=lambda loan: str((loan.claim or {}).get("accepted_at", "")), reverse=True)


async def tallies(connection: AsyncConnection, scheme: str, party: str | None) -> dict[str, Tally]:
    """What each batch's claims add up to; ``party`` counts its own."""
    found: dict[str, Tally] = {}
    held = (loans.c.claim_status.is_not(None), loans.c.claim["half"].astext.is_not(None))
    for loan in await loans_of(connection, scheme, None, *held, *_seen_by(party)):
        claim = loan.claim or {}
        before = found.get(claim["half"], Tally())
        verified = loan.status not in ("claimed", "rejected")
        found[claim["half"]] = Tally(
            claims=before.claims + 1,
            claimed_fen=before.claimed_fen + _fen(claim, "claimed"),
            base_fen=before.base_fen + _fen(claim, "base"),
            verified=before.verified + verified,
            verified_fen=before.verified_fen + (_verified_fen(claim) if verified else 0),
            rejected=before.rejected + (loan.status == "rejected"),
            approved_fen=before.approved_fen + loan.compensation.approved,
        )
    return found


def _fen(claim: Mapping[str, Any], name: str) -> int:
    return parse_yuan(claim[name]) if claim.get(name) else 0


def _verified_fen(claim: Mapping[str, Any]) -> int:
    """What was verified, what DRC set for the vote, else the base of the claim."""
    return _fen(claim, "verified_principal") or _fen(claim, "base")


async def claims_of(
    connection: AsyncConnection, scheme: str, loan_nos: Collection[str], *, party: str | None, viewer: str
) -> list[Claim]:
    """Claims on these loans in the order of acceptance, the votes of open rounds hidden from all but their seat."""
    if not loan_nos:
        return []
    held = (loans.c.loan_no.in_(tuple(loan_nos)), loans.c.claim.is_not(None))
    found = await loans_of(connection, scheme, None, *held, *_seen_by(party))
    history = await _history(connection, scheme, [loan.loan_no for loan in found])
    withheld = await reductions(connection, scheme)
    claims = [_claim(loan, history.get(loan.loan_no, []), withheld, viewer) for loan in found]
    return sorted(claims, key=lambda one: ((one.loan.claim or {}).get("accepted_at", ""), one.loan.loan_no))


async def _history(connection: AsyncConnection, scheme: str, loan_nos: Sequence[str]) -> dict[str, list[Row[Any]]]:
    history: dict[str, list[Row[Any]]] = {}
    if loan_nos:
        query = select(events).where(
            events.c.scheme == scheme, events.c.type.in_(_OF_A_CLAIM), events.c.about.overlap(list(loan_nos))
        )
        for row in await connection.execute(query.order_by(events.c.position)):
            history.setdefault(row.data["loan_no"], []).append(row)
    return history


async def reductions(connection: AsyncConnection, scheme: str) -> dict[str, Decimal]:
    """What sanctions withhold now, by institution (compensation.amount): the newest reduction counts."""
    query = select(events.c.data).where(events.c.scheme == scheme, events.c.type == "InstitutionSanctioned")
    found = (await connection.execute(query.order_by(events.c.position))).scalars()
    return {one["institution"]: Decimal(one["reduction"] or 0) for one in found if one["measure"] == "reduce"}


def _claim(loan: LoanView, history: Sequence[Row[Any]], withheld: Mapping[str, Decimal], viewer: str) -> Claim:
    claim = loan.claim or {}
    seats = next((tuple(row.data["seats"]) for row in history if row.type == "LoanCovered"), ())
    evidence = next((tuple(row.data.get("evidence") or ()) for row in history if row.type == "ClaimAccepted"), ())
    consented = "consented_on" in claim
    reduction = Decimal(claim["reduction"]) if consented else withheld.get(loan.payee or "", Decimal(0))
    verified = _verified_fen(claim)
    computed = multiply(verified, loan.ratio or Decimal(0), 1 - reduction)
    rejected = loan.status == "rejected"
    return Claim(
        loan=loan,
        seats=seats,
        rounds=_rounds(seats, history, viewer) if claim.get("half") else (),
        claimed_fen=_fen(claim, "claimed"),
        base_fen=_fen(claim, "base"),
        verified_fen=0 if rejected else verified,
        lowered_for=claim.get("verified_principal_reason", ""),
        reduction=reduction,
        amount_fen=loan.compensation.approved if consented else 0 if rejected else computed,
        evidence=evidence,
        decided=loan.status != "claimed",
        decision="；".join(claim.get("reasons") or ()),
        events={row.type: row.id for row in history},
    )


def _rounds(seats: Sequence[str], history: Iterable[Row[Any]], viewer: str) -> tuple[Round, ...]:
    rounds: list[Round] = []
    votes: dict[str, Row[Any]] = {}
    for row in history:
        if row.type == "ClaimVoteCast":
            votes[row.data["seat"]] = row
        elif row.type in CLOSING and votes:
            rounds.append(_round(len(rounds) + 1, seats, votes, None, is_open=False))
            votes = {}
            if row.type != "ClaimRevoteOpened":
                return tuple(rounds)
    return (*rounds, _round(len(rounds) + 1, seats, votes, viewer, is_open=True))


def _round(
    number: int, seats: Sequence[str], votes: Mapping[str, Row[Any]], viewer: str | None, *, is_open: bool
) -> Round:
    def shown(seat: str) -> Vote:
        row = votes.get(seat)
        if row is None or (is_open and seat != viewer):
            return Vote(seat, cast=row is not None)
        return Vote(seat, True, row.data["opinion"], row.data.get("comment") or "", row.id)

    return Round(number, tuple(map(shown, seats)), is_open)


async def claimable(connection: AsyncConnection, scheme: str, institution: str) -> Sequence[Row[Any]]:
    """Loans on which an institution may still file a claim: its own, covered, not insured, not claimed."""
    return await amounts_of(
        connection,
        scheme,
        or_(loans.c.lender == institution, loans.c.guarantor == institution),
        loans.c.product != "insurance",
        loans.c.claim_status.is_(None),
        STATUS == "covered",
        limit=MOST_CHOICES,
    )


async def statements(
    connection: AsyncConnection, scheme: str, institution: str, today: date, days: int
) -> list[Statement]:
    """The statements that an institution's next claim needs, and how they stand (claim.statement, 三(七))."""
    compensated = await loan_list(
        connection, scheme, status="compensated", uscc=None, lender=None, party=institution, limit=500, cursor=None
    )
    owed = [loan for loan in compensated.items if institution in (loan.lender, loan.payee)]
    if not owed:
        return []
    newest: dict[str, dict[str, str]] = {}
    query = select(events.c.data).where(
        events.c.scheme == scheme, events.c.type == "ClaimAccepted", events.c.data["claimant"].astext == institution
    )
    query = query.where(func.jsonb_array_length(events.c.data["recovery_statements"]) > 0)
    for data in (await connection.execute(query)).scalars():
        for given in data["recovery_statements"]:
            if given["as_of"] >= newest.get(given["loan_no"], given)["as_of"]:
                newest[given["loan_no"]] = given
    return [_statement(institution, loan, newest.get(loan.loan_no), today, days) for loan in owed]


def _statement(
    institution: str, loan: LoanView, given: Mapping[str, str] | None, today: date, days: int
) -> Statement:
    if given is None:
        return Statement(institution, loan, None, "", None, "missing")
    as_of = date.fromisoformat(given["as_of"])
    until = as_of + timedelta(days=days)
    return Statement(institution, loan, as_of, given["text"], until, "valid" if today <= until else "late")
