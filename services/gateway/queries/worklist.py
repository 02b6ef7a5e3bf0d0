"""What waits for one organisation, with due dates, and how many of each kind the navigation shows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may
from services.gateway.policy import GatewayPolicy
from services.gateway.projections.tables import cases, loans, waiting
from services.gateway.queries.errands import Errand, errands
from shared.calendar import add_months, half_end

MOST_OF_A_KIND = 50


@dataclass(frozen=True)
class Kind:
    """A kind of work: what the caller must be allowed to do, where it counts, and the one page where it is done."""

    action: str
    area: str
    href: str


KINDS = {
    "consent": Kind("ConsentHighRisk", "review", "/review/{uscc}"),
    "consent_batch": Kind("ConsentClaimBatch", "claims", "/claims/{half}"),
    "tie": Kind("DecideTie", "review", "/review/{uscc}"),
    "vote": Kind("CastVote", "review", "/review/{uscc}"),
    "claim": Kind("VerifyClaim", "claims", "/claims/{half}"),
    "screen": Kind("ScreenReferral", "cases", "/cases/{uscc}"),
    "supplement": Kind("AmendReferral", "cases", "/refer/{uscc}"),
    "round": Kind("OpenRatingRound", "review", "/review/{uscc}"),
    "push": Kind("PushFinancing", "financing", "/financing/{uscc}"),
    "pushed": Kind("FinancingDeclined", "financing", "/financing/{uscc}"),
    "batch": Kind("OpenClaimBatch", "claims", "/claims/{half}"),
    "submit": Kind("SubmitClaimBatch", "claims", "/claims/{half}"),
    "statement": Kind("LoanDefaulted", "loans", "/loans/{about}"),
    "notice": Kind("IssuePayoutNotice", "pool", "/pool"),
    "disbursement": Kind("TransferSettled", "pool", "/pool"),
    "subsidy": Kind("ApproveSubsidy", "pool", "/pool"),
    "fee": Kind("ApproveFee", "pool", "/pool"),
    "mismatch": Kind("page.pool", "pool", "/pool"),
    "capital": Kind("InjectCapital", "pool", "/pool"),
    "write_off": Kind("ApproveWriteOff", "recoveries", "/recoveries"),
    "remittance": Kind("RecoveryCollected", "recoveries", "/recoveries"),
    "clawback": Kind("RecoveryCollected", "recoveries", "/recoveries"),
    "tracking": Kind("RecordTracking", "loans", "/loans/{about}"),
    "report": Kind("FileReport", "obligations", "/obligations"),
    "quota": Kind("ReferEnterprise", "obligations", "/refer"),
}


@dataclass(frozen=True)
class Item:
    """One piece of work: since when it waits, when it is due under the scheme, and the page where it is done."""

    kind: str
    about: str
    uscc: str | None
    name: str
    half: str | None
    since: date
    days: int
    due_on: date | None
    overdue: bool
    href: str
    figures: tuple[tuple[str, str], ...] = ()


async def worklist(connection: AsyncConnection, caller: Caller, today: date) -> list[Item]:
    """What this caller can do now, overdue first, then what waits longest; at most fifty of a kind."""
    rows = (await connection.execute(_rows(caller.scheme.id, caller.organisation, _allowed(caller), today))).all()
    policy = caller.scheme.policy(GatewayPolicy)
    found = [
        _item(Errand(row.kind, row.about, row.since, row.due_on, row.uscc, row.name or "", row.half), policy, today)
        for row in rows
    ]
    found += [_item(one, policy, today) for one in await _errands(connection, caller, today)]
    listed: Counter[str] = Counter()
    shown = []
    for item in sorted(found, key=_urgency):
        listed[item.kind] += 1
        if listed[item.kind] <= MOST_OF_A_KIND:
            shown.append(item)
    return shown


async def counts(connection: AsyncConnection, caller: Caller, today: date) -> dict[str, int]:
    """How much waits in each area of the navigation."""
    return by_area(await counts_by_kind(connection, caller, today))


def by_area(numbers: Mapping[str, int]) -> dict[str, int]:
    """How much of all kinds waits in each area, and all of it under ``worklist``."""
    found: Counter[str] = Counter()
    for kind, number in numbers.items():
        found[KINDS[kind].area] += number
    return {"worklist": found.total(), **found} if found else {}


def _urgency(one: Item) -> tuple[bool, date, str]:
    return not one.overdue, one.due_on if one.overdue and one.due_on else one.since, one.about


async def counts_by_kind(connection: AsyncConnection, caller: Caller, today: date) -> dict[str, int]:
    """How much of each kind waits for this caller."""
    query = _numbers(caller.scheme.id, caller.organisation, _allowed(caller), today)
    found = {row.kind: row.number for row in await connection.execute(query)}
    return found | Counter(one.kind for one in await _errands(connection, caller, today))


def _allowed(caller: Caller) -> tuple[str, ...]:
    return tuple(name for name, kind in KINDS.items() if may(caller, kind.action))


async def _errands(connection: AsyncConnection, caller: Caller, today: date) -> Sequence[Errand]:
    found = await errands(connection, caller, today)
    allowed = _allowed(caller)
    return [one for one in found if one.kind in allowed]


def _mine(scheme: str, organisation: str, kinds: Sequence[str], today: date) -> Iterable[ColumnElement[bool]]:
    """Rows of an organisation that can be done today; a batch is submitted when all its votes are in."""
    voting = waiting.alias("voting")
    open_votes = select(voting.c.about).where(
        voting.c.scheme == scheme, voting.c.kind == "claim", voting.c.half == waiting.c.about
    )
    verified = select(loans.c.loan_no).where(
        loans.c.scheme == scheme,
        loans.c.claim_status == "verified",
        loans.c.claim["half"].astext == waiting.c.about,
    )
    return (
        waiting.c.scheme == scheme,
        waiting.c.organisation == organisation,
        waiting.c.kind.in_(kinds),
        or_(waiting.c.opens_on.is_(None), waiting.c.opens_on <= today),
        or_(waiting.c.kind != "submit", and_(~open_votes.exists(), verified.exists())),
    )


@lru_cache(500)
def _numbers(scheme: str, organisation: str, kinds: Sequence[str], today: date) -> Select[Any]:
    mine = _mine(scheme, organisation, kinds, today)
    return select(waiting.c.kind, func.count().label("number")).where(*mine).group_by(waiting.c.kind)


@lru_cache(500)
def _rows(scheme: str, organisation: str, kinds: Sequence[str], today: date) -> Select[Any]:
    place = func.row_number().over(partition_by=waiting.c.kind, order_by=(waiting.c.since, waiting.c.about))
    mine = select(waiting, place.label("place")).where(*_mine(scheme, organisation, kinds, today)).subquery()
    case = and_(cases.c.scheme == mine.c.scheme, cases.c.uscc == mine.c.uscc)
    query = select(mine, cases.c.name).select_from(mine.outerjoin(cases, case))
    return query.where(mine.c.place <= MOST_OF_A_KIND)


def _item(one: Errand, policy: GatewayPolicy, today: date) -> Item:
    due_on = one.due_on or _DUE.get(one.kind, _no_rule)(one, policy)
    href = KINDS[one.kind].href.format(uscc=one.uscc, half=one.half, about=one.about)
    overdue = due_on is not None and due_on < today
    days = max((today - one.since).days, 0)
    return Item(one.kind, one.about, one.uscc, one.name, one.half, one.since, days, due_on, overdue, href, one.figures)


def _no_rule(one: Errand, policy: GatewayPolicy) -> date | None:
    """The scheme sets no date."""
    return None


def _rating_lapses(one: Errand, policy: GatewayPolicy) -> date | None:
    """A rating not followed by a loan lapses (grade.lifetime, 三(四))."""
    return add_months(one.since, policy.rating_lifetime_months)


def _verification_due(one: Errand, policy: GatewayPolicy) -> date | None:
    """The half-year's verification is due with the scheme's obligation (batch.half_year, 三(六))."""
    months = next((duty.due_months for duty in policy.obligations if duty.rule == "batch.half_year"), None)
    if one.half is None or months is None:
        return None
    return add_months((half_end(one.half) + timedelta(days=1)), months) - timedelta(days=1)


_DUE: dict[str, Callable[[Errand, GatewayPolicy], date | None]] = {
    "push": _rating_lapses,
    "claim": _verification_due,
    "batch": _verification_due,
    "submit": _verification_due,
}
