"""The events of one decision as they happen: each is applied at once, and the next is decided on what is true then."""

from datetime import date

from services.pool.domain.fund import Fund, apply
from services.pool.ledger import entries_of
from services.pool.policy import PoolPolicy
from shared.contracts.base import made
from shared.contracts.pool import FundFigures, PoolEvent
from shared.decisions import Accepted

NOT_YET = FundFigures(
    version=0, state="active", capital=0, balance=0, cash=0, instructed=0, compensated_gross=0, counter=0, pause_line=0,
    resume_line=0, held_total=0, recovered=0, written_off=0, recoverable=0, income_total=0, subsidies_total=0,
    fees_total=0, unallocated=0,
)


class Journal:
    """A fund at work on one business date.

    ``figures`` is what an event is made with until ``add`` lets it happen and puts in the figures after it.
    """

    def __init__(self, fund: Fund | None, policy: PoolPolicy, on: date) -> None:
        self.fund = fund or Fund()
        self.policy = policy
        self.on = on
        self.figures = NOT_YET
        self.events: tuple[PoolEvent, ...] = ()

    def add(self, event: PoolEvent) -> None:
        """Let an event happen: it gets its posting (pool.ledger), and its ``fund`` becomes the figures after it."""
        before, policy = self.fund, self.policy
        after = apply(
            before, event, version=before.version + 1, counter_limit_fen=counter_limit_fen(before, policy),
            pause_line_fen=policy.pause_line_fen,
        )
        self.figures = figures_of(after, policy)
        counter = self.figures.counter
        self.fund = after if after.counter_fen == counter else after.but(counter_fen=counter)
        self.events = (*self.events, event.but(fund=self.figures, entries=entries_of(event)))

    def accepted(self, **result: object) -> Accepted:
        """All that happened, as the decision's answer."""
        return Accepted(self.events, result)


def counter_fen(fund: Fund, policy: PoolPolicy) -> int:
    """The compensation counter by the scheme's measure, never below zero (pool.pause, 三(八))."""
    return max(0, signed_counter_fen(fund, policy))


def signed_counter_fen(fund: Fund, policy: PoolPolicy) -> int:
    """The counter before it is cut off at zero: what may still be paid to the line is counted from here."""
    return policy.counter_fen(fund.gross_fen, fund.base_fen, fund.net_fen)


def rebased_counter_fen(fund: Fund, policy: PoolPolicy) -> int:
    """The counter as a restart would re-base it (pool.resume, 三(八))."""
    return max(0, policy.counter_fen(fund.gross_fen, fund.rebased_fen, fund.net_fen))


def counter_limit_fen(fund: Fund, policy: PoolPolicy) -> int | None:
    """What the next event may not lift the counter above (pool.crossing): the line, or where it stands already.

    The counter stands above the line only when the scheme itself was changed under a running fund.
    """
    if policy.crossing == "in_full":
        return None
    return max(policy.pause_line_fen, counter_fen(fund, policy))


def figures_of(fund: Fund, policy: PoolPolicy) -> FundFigures:
    """The fund's figures under the scheme's lines and measure; an amount below zero would be a bug (pool.balance)."""
    balance_fen = fund.available_fen
    if min(balance_fen, fund.cash_fen, fund.instructed_fen, fund.unallocated_fen) < 0:
        raise AssertionError(f"a fund's amount fell below zero: {fund}")
    return made(
        FundFigures,
        version=fund.version,
        state=fund.state,
        capital=fund.capital_fen,
        balance=balance_fen,
        cash=fund.cash_fen,
        instructed=fund.instructed_fen,
        compensated_gross=fund.gross_fen,
        counter=counter_fen(fund, policy),
        pause_line=policy.pause_line_fen,
        resume_line=policy.resume_line_fen,
        held_total=fund.held_fen,
        recovered=fund.recovered_fen,
        written_off=fund.written_off_fen,
        recoverable=fund.recoverable_fen,
        income_total=fund.income_fen,
        subsidies_total=fund.subsidies_fen,
        fees_total=fund.fees_fen,
        unallocated=fund.unallocated_fen,
        clawed=fund.clawed_fen,
        shortfall=fund.shortfall_fen,
        counter_limit=fund.counter_limit_fen,
    )
