"""Paying the queue out: when to stop, when to go on, whom to pay next and how much (scheme.md sections 5 and 8)."""

from services.pool.domain.disbursement import instruction
from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal, counter_fen, rebased_counter_fen, signed_counter_fen
from services.pool.domain.queue import QueueItem
from services.pool.policy import PoolPolicy
from shared.contracts.base import Why, made
from shared.contracts.pool import (
    HOLD_RULES,
    CompensationHeld,
    FeeHeld,
    HoldReason,
    PoolEvent,
    PoolPaused,
    PoolResumed,
    SubsidyHeld,
)
from shared.money import format_yuan


def advance(journal: Journal) -> None:
    """After every fact: resume, pause or pay until nothing more can happen, then announce what is held anew.

    Each turn either pays (what is owed shrinks) or changes the pool's state; a pause is followed by a resume only when
    that lowers the counter under the line, so the loop ends. Pause and resume in one step are two events (pool.resume).
    """
    while _turn(journal):
        pass
    for queued in journal.fund.queue:
        reason = hold_reason(journal.fund, queued, journal.policy)
        if (queued.remaining_fen, reason) != (queued.held_fen, queued.reason):
            journal.add(_held(journal, queued, reason))


def _turn(journal: Journal) -> bool:
    if may_resume(journal.fund, journal.policy):
        _resume(journal)
        return True
    if must_pause(journal.fund, journal.policy):
        _pause(journal)
        return True
    queued = next_payable(journal.fund, journal.policy)
    if queued is None:
        return False
    _pay(journal, queued)
    return True


def may_resume(fund: Fund, policy: PoolPolicy) -> bool:
    """pool.resume, 三(八): the balance reached its line and the re-based counter is under the pause line.

    When crossing payouts are held whole, also only when the first held compensation then fits: it would pause at once.
    """
    if fund.state != "paused" or fund.available_fen < policy.resume_line_fen:
        return False
    counter = rebased_counter_fen(fund, policy)
    if policy.crossing == "hold":
        first = next((q.remaining_fen for q in fund.queue if q.item.kind == "compensation"), 0)
        return counter < policy.pause_line_fen and counter + first <= policy.pause_line_fen
    return counter < policy.pause_line_fen


def must_pause(fund: Fund, policy: PoolPolicy) -> bool:
    """pool.pause, 三(八): the counter reached the line (``>=``)."""
    return fund.state == "active" and counter_fen(fund, policy) >= policy.pause_line_fen


def next_payable(fund: Fund, policy: PoolPolicy) -> QueueItem | None:
    """The first of the queue that may be paid: a pause stops what the scheme says (pool.scope), a returned item waits.

    None when there is nothing, or nothing to pay it with (pool.balance).
    """
    if fund.available_fen <= 0:
        return None
    for queued in fund.queue:
        if not queued.returned and not is_stopped(fund, queued, policy):
            return queued
    return None


def is_stopped(fund: Fund, queued: QueueItem, policy: PoolPolicy) -> bool:
    """pool.scope, 三(八): whether the pause stops this kind of payout."""
    return fund.state == "paused" and queued.item.kind in policy.stops


def payable_fen(fund: Fund, queued: QueueItem, policy: PoolPolicy) -> int:
    """How much of an item is paid now: within the balance (pool.balance), compensation within the line (pool.crossing).

    Zero when an item that would cross is held whole.
    """
    amount = min(queued.remaining_fen, fund.available_fen)
    if not crosses(fund, queued, policy) or policy.crossing == "in_full":
        return amount
    return min(amount, room_fen(fund, policy)) if policy.crossing == "to_line" else 0


def crosses(fund: Fund, queued: QueueItem, policy: PoolPolicy) -> bool:
    """Whether paying all of an item would lift the counter above the line."""
    return queued.item.kind == "compensation" and queued.remaining_fen > room_fen(fund, policy)


def room_fen(fund: Fund, policy: PoolPolicy) -> int:
    """What the counter may still grow before the line."""
    return max(0, policy.pause_line_fen - signed_counter_fen(fund, policy))


def hold_reason(fund: Fund, queued: QueueItem, policy: PoolPolicy) -> HoldReason:
    """Why an item waits: the one that crossed keeps ``line``, those behind it are ``paused``."""
    if queued.returned:
        return "returned"
    if is_stopped(fund, queued, policy):
        return "line" if queued.reason == "line" else "paused"
    return "short_of_funds"


def _pay(journal: Journal, queued: QueueItem) -> None:
    fund, policy = journal.fund, journal.policy
    crossing = crosses(fund, queued, policy) and policy.crossing != "in_full"
    amount = payable_fen(fund, queued, policy)
    at_line = crossing and amount in (0, room_fen(fund, policy))
    if amount:
        journal.add(instruction(journal, queued, amount, _why_paid(fund, queued, amount, policy)))
        queued = queued.but(remaining_fen=queued.remaining_fen - amount)
    if at_line:
        journal.add(_held(journal, queued, "line"))
        _pause(journal)


def _pause(journal: Journal) -> None:
    counter, line = counter_fen(journal.fund, journal.policy), journal.policy.pause_line_fen
    why = journal.policy.why("pool.pause", counter=format_yuan(counter), line=format_yuan(line))
    journal.add(made(PoolPaused, on=journal.on, fund=journal.figures, why=why, counter=counter, line=line))


def _resume(journal: Journal) -> None:
    fund, line = journal.fund, journal.policy.resume_line_fen
    counter = rebased_counter_fen(fund, journal.policy)
    why = journal.policy.why(
        "pool.resume", balance=format_yuan(fund.available_fen), line=format_yuan(line), counter=format_yuan(counter)
    )
    journal.add(
        made(
            PoolResumed, on=journal.on, fund=journal.figures, why=why, balance=fund.available_fen, line=line,
            counter=counter,
        )
    )


def _why_paid(fund: Fund, queued: QueueItem, amount_fen: int, policy: PoolPolicy) -> Why:
    kind = {"compensation": "pool.notice", "subsidy": "pool.subsidy", "fee": "pool.fee"}[queued.item.kind]
    in_part = "pool.balance" if amount_fen == fund.available_fen else "pool.crossing"
    rule = kind if amount_fen == queued.remaining_fen else in_part
    figures = {"due": queued.remaining_fen, "balance": fund.available_fen, "paid": amount_fen}
    if queued.item.kind == "compensation":
        figures["room"] = room_fen(fund, policy)
    return policy.why(rule, **{name: format_yuan(fen) for name, fen in figures.items()})


def _held(journal: Journal, queued: QueueItem, reason: HoldReason) -> PoolEvent:
    item, amount = queued.item, queued.remaining_fen
    figures = {"held": format_yuan(amount), "balance": format_yuan(journal.fund.available_fen)}
    why = journal.policy.why(HOLD_RULES[reason], **figures)
    on, fund = journal.on, journal.figures
    if item.kind == "compensation":
        return made(
            CompensationHeld, on=on, fund=fund, why=why, uscc=item.uscc, loan_no=item.loan_no, amount=amount,
            reason=reason, approved=item.approved,
        )
    if item.kind == "subsidy":
        return made(
            SubsidyHeld, on=on, fund=fund, why=why, uscc=item.uscc, loan_no=item.loan_no, policy_no=item.policy_no,
            amount=amount, reason=reason,
        )
    return made(FeeHeld, on=on, fund=fund, why=why, year=item.year or 0, amount=amount, reason=reason)
