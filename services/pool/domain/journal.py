"""The events of one decision as they happen: each is applied at once, and the next is decided on what is true then."""

from datetime import date

from services.pool.domain.fund import Fund, apply, evolve_fund
from services.pool.policy import PoolPolicy
from shared.contracts.pool import FundFigures, PoolEvent
from shared.decisions import Accepted


class Journal:
    """A fund at work on one business date."""

    def __init__(self, fund: Fund | None, policy: PoolPolicy, on: date) -> None:
        self.fund = fund or Fund()
        self.policy = policy
        self.on = on
        self.events: tuple[PoolEvent, ...] = ()

    @property
    def figures(self) -> FundFigures:
        """The fund's figures as they stand."""
        return figures_of(self.fund, self.policy)

    def add(self, event: PoolEvent) -> None:
        """Let an event happen; its ``fund`` becomes the figures after it."""
        after = apply(self.fund, event).model_copy(
            update={
                "version": self.fund.version + 1,
                "counter_limit_fen": counter_limit_fen(self.fund, self.policy),
            }
        )
        happened = event.model_copy(update={"fund": figures_of(after, self.policy)})
        self.fund = evolve_fund(self.fund, happened) or self.fund
        self.events = (*self.events, happened)

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
    """The fund's figures under the scheme's lines and measure."""
    return FundFigures(
        version=fund.version,
        state=fund.state,
        capital=fund.capital_fen,
        balance=fund.available_fen,
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
