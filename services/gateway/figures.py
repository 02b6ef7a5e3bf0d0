"""What the metrics say of each scheme's fund, of backups and audits: what the API answers, read when somebody asks."""

import math
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, get_args

from prometheus_client.core import Metric
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.business_days import newest_day
from services.gateway.projections.tables import disbursements, loans, recoveries, waiting
from services.gateway.queries import fund_history, pool
from services.gateway.queries.obligations import obligation_list
from services.gateway.queries.upkeep import last_of_each
from services.gateway.reads import reads_of
from services.gateway.views import PoolView
from shared.clock import business_date
from shared.contracts.pool import HoldReason
from shared.messaging.service import Service
from shared.money import parse_yuan
from shared.observability.scrape import gauges
from shared.scheme.loader import Scheme

CLAIMS = ("claimed", "verified", "approved", "rejected")
TRANSFERS = ("instructed", "settled", "returned")


@dataclass(frozen=True)
class Figure:
    """One gauge of a scheme's fund: its name, what it tells and its value in fen."""

    name: str
    told: str
    value: Callable[[PoolView], int]


FUND = (
    Figure("riskpool_fund_capital_fen", "Capital paid in", lambda fund: fund.capital),
    Figure("riskpool_fund_balance_fen", "Available balance", lambda fund: fund.balance),
    Figure("riskpool_fund_cash_fen", "Cash at the custodian, as the ledger says", lambda fund: fund.cash),
    Figure("riskpool_fund_instructed_fen", "Instructed and not confirmed", lambda fund: fund.instructed),
    Figure("riskpool_fund_counter_fen", "Compensation counted against the pause line", lambda fund: fund.counter),
    Figure("riskpool_fund_pause_line_fen", "Where the counter pauses the fund", lambda fund: fund.pause_line),
    Figure("riskpool_fund_resume_line_fen", "Where the balance lets it go on", lambda fund: fund.resume_line),
    Figure("riskpool_fund_until_pause_fen", "Pause line - counter", lambda fund: fund.pause_line - fund.counter),
    Figure(
        "riskpool_fund_above_resume_line_fen", "Balance - resume line, negative while under it",
        lambda fund: fund.balance - fund.resume_line,
    ),
    Figure("riskpool_fund_compensated_fen", "Compensation paid, gross", lambda fund: fund.compensated_gross),
    Figure("riskpool_fund_recoverable_fen", "What may still come back", lambda fund: fund.recoverable),
    Figure("riskpool_fund_exposure_fen", "Ratio x outstanding of what may yet be claimed", lambda fund: fund.exposure),
    Figure("riskpool_fund_held_fen", "Payouts released and held", lambda fund: fund.held_total),
)  # fmt: skip


def show_fund(service: Service) -> None:
    """Add the fund's figures, and the state of the second pool of connections, to the service's metrics."""

    async def read() -> Iterable[Metric]:
        service.health.pools["reads"] = reads_of(service.engine)
        found: list[_Scheme] = []
        async with reads_of(service.engine).connect() as connection:
            for _, scheme in sorted(service.schemes.items()):
                day = await newest_day(connection, scheme.id) or business_date(service.clock.now())
                found.append(await _scheme(connection, scheme, day))
        return _metrics(found)

    service.health.scrape.readings["fund"] = read


def show_upkeep(service: Service) -> None:
    """Add how old the last backup and audit are, and whether they were good; what was never made is endlessly old."""

    async def read() -> Iterable[Metric]:
        async with reads_of(service.engine).connect() as connection:
            kept = await last_of_each(connection)
        now = service.clock.now()
        ages = [((one.kind,), (now - one.at).total_seconds() if one.at else math.inf) for one in kept]
        good = [((one.kind,), int(one.ok)) for one in kept if one.ok is not None]
        return (
            gauges("riskpool_upkeep_age_seconds", "Age of the last backup and audit, good or not", ("kind",), ages),
            gauges("riskpool_upkeep_good", "1 when the last one was good; not there before the first", ("kind",), good),
        )

    service.health.scrape.readings["upkeep"] = read


@dataclass(frozen=True)
class _Scheme:
    """What one scheme shows."""

    id: str
    fund: PoolView
    held: Mapping[str, int]
    claims: Mapping[str, int]
    transfers: Mapping[str, int]
    waiting: Mapping[str, int]
    remittances_overdue_fen: int
    overdue: Mapping[str, int]
    difference_fen: int
    oldest_claim_days: int
    day: date


async def _scheme(connection: AsyncConnection, scheme: Scheme, day: date) -> _Scheme:
    fund = await pool.pool(connection, scheme.id)
    duties = await obligation_list(connection, scheme, day)
    compared = await fund_history.statements(connection, scheme.id, 1)
    newest = compared[0].data if compared else {"statement": "0.00", "ledger": "0.00"}
    late = select(func.coalesce(func.sum(recoveries.c.overdue_fen), 0)).where(recoveries.c.scheme == scheme.id)
    claims = select(func.min(waiting.c.since)).where(waiting.c.scheme == scheme.id, waiting.c.kind == "claim")
    oldest: date | None = (await connection.execute(claims)).scalar_one()
    return _Scheme(
        id=scheme.id,
        fund=fund,
        held=_from_zero(get_args(HoldReason), Counter(str(one.reason) for one in fund.held)),
        claims=_from_zero(CLAIMS, await _numbers(connection, loans.c.claim_status, loans.c.scheme == scheme.id)),
        transfers=_from_zero(
            TRANSFERS, await _numbers(connection, disbursements.c.status, disbursements.c.scheme == scheme.id)
        ),
        waiting=await _numbers(connection, waiting.c.kind, waiting.c.scheme == scheme.id),
        remittances_overdue_fen=int((await connection.execute(late)).scalar_one()),
        overdue=_from_zero((one.kind for one in duties), Counter(one.kind for one in duties if one.state == "overdue")),
        difference_fen=parse_yuan(newest["statement"]) - parse_yuan(newest["ledger"]),
        oldest_claim_days=(day - oldest).days if oldest else 0,
        day=day,
    )


def _from_zero(names: Iterable[str], found: Mapping[str, int]) -> Mapping[str, int]:
    """With a zero for each name that does not occur: a series that is not there cannot be compared."""
    return {**dict.fromkeys(names, 0), **found}


async def _numbers(
    connection: AsyncConnection, column: ColumnElement[str] | Any, *where: ColumnElement[bool]
) -> Mapping[str, int]:
    query = select(column, func.count()).where(*where, column.is_not(None)).group_by(column)
    return {str(value): int(number) for value, number in await connection.execute(query)}


def _metrics(found: Sequence[_Scheme]) -> Iterator[Metric]:
    for figure in FUND:
        yield gauges(figure.name, figure.told, ("scheme",), [((one.id,), figure.value(one.fund)) for one in found])
    yield from (
        gauges(name, told, ("scheme",), [((one.id,), value(one)) for one in found]) for name, told, value in _NUMBERS
    )
    yield from (
        gauges(name, told, ("scheme", label), [((one.id, of), n) for one in found for of, n in value(one).items()])
        for name, told, label, value in _GROUPS
    )


_NUMBERS: tuple[tuple[str, str, Callable[[_Scheme], int]], ...] = (
    ("riskpool_fund_paused", "1 while the fund is paused", lambda one: int(one.fund.state == "paused")),
    (
        "riskpool_fund_reconciliation_difference_fen", "The custodian's newest statement - the ledger of that day",
        lambda one: one.difference_fen,
    ),
    (
        "riskpool_fund_remittances_overdue_fen", "Recovered shares of the fund not remitted in time",
        lambda one: one.remittances_overdue_fen,
    ),
    ("riskpool_oldest_claim_days", "Since when a claim waits for an opinion", lambda one: one.oldest_claim_days),
    (
        "riskpool_business_day_timestamp_seconds", "The newest business day announced, as its midnight in UTC",
        lambda one: timegm(one.day.timetuple()),
    ),
)  # fmt: skip
_GROUPS: tuple[tuple[str, str, str, Callable[[_Scheme], Mapping[str, int]]], ...] = (
    ("riskpool_fund_held_payouts", "Payouts released and held, by reason", "reason", lambda one: one.held),
    ("riskpool_claims", "Loans with a claim, by how far it came", "status", lambda one: one.claims),
    ("riskpool_transfers", "Disbursements, by what the custodian said of them", "status", lambda one: one.transfers),
    ("riskpool_waiting_items", "What waits for an organisation, by kind", "kind", lambda one: one.waiting),
    ("riskpool_obligations_overdue", "Duties of a period that nobody did in time", "kind", lambda one: one.overdue),
)
