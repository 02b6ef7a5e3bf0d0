"""Money that comes in - capital, recoveries, clawbacks, other funds, income - each bank reference once."""

from datetime import date

from services.pool.domain.compensation import Compensation
from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.domain.payout import advance
from services.pool.policy import PoolPolicy
from shared.contracts.base import Event, Message, Shape, made
from shared.contracts.commands import InjectCapital
from shared.contracts.partners import FundsReceived, IncomeCredited
from shared.contracts.pool import CapitalInjected, FundsBooked, IncomeBooked
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan

BOOKINGS = (FundsBooked, CapitalInjected, IncomeBooked)


class BankRef(Shape):
    """A bank reference that was booked, and the fact that it stands for."""

    bank_ref: str
    fact: tuple[str, ...]


def bank_ref_keys(event: Event) -> tuple[str, ...]:
    """The bank reference that an event books."""
    return (event.bank_ref,) if isinstance(event, BOOKINGS) else ()


def evolve_bank_ref(known: BankRef | None, event: Event) -> BankRef | None:
    """A bank reference after an event."""
    if isinstance(event, BOOKINGS):
        return made(BankRef, bank_ref=event.bank_ref, fact=fact_of(event))
    return known


def fact_of(message: Message) -> tuple[str, ...]:
    """What a booking, or the report of it, says: equal facts under one bank reference are the same money."""
    match message:
        case FundsReceived() | FundsBooked():
            loan_no, day = message.loan_no or "", message.received_on.isoformat()
            return ("funds", message.purpose, loan_no, format_yuan(message.amount), day)
        case IncomeCredited() | IncomeBooked():
            return ("income", message.period, format_yuan(message.amount))
        case InjectCapital() | CapitalInjected():
            return ("capital", message.source, format_yuan(message.amount))
    return ()


def decide_capital(
    fund: Fund | None, known: BankRef | None, command: InjectCapital, policy: PoolPolicy, today: date
) -> Decision:
    """Take in approved capital: a listed source, within its amount, a bank reference once (pool.capital, 二(二)1)."""
    journal = Journal(fund, policy, today)
    figures = {"source": command.source, "amount": format_yuan(command.amount), "bank_ref": command.bank_ref}
    if command.source not in policy.sources:
        return Refusal("pool.capital", "source", {**figures, "sources": ", ".join(policy.sources)})
    if known is not None:
        return Refusal("pool.capital", "bank_ref", figures)
    approved, before = policy.sources[command.source], journal.fund.source_fen(command.source)
    figures |= {"approved": format_yuan(approved), "before": format_yuan(before)}
    if before + command.amount > approved:
        return Refusal("pool.capital", "amount", {**figures, "room": format_yuan(approved - before)})
    journal.add(
        made(
            CapitalInjected, on=today, fund=journal.figures, why=policy.why("pool.capital", **figures),
            source=command.source, amount=command.amount, bank_ref=command.bank_ref,
        )
    )
    advance(journal)
    return journal.accepted()


def _known_or_refused(known: BankRef, reported: FundsReceived | IncomeCredited) -> Decision:
    if known.fact == fact_of(reported):
        return Accepted(duplicate=True)
    return Refusal("pool.custodian", "bank_ref", {"bank_ref": reported.bank_ref, "known": " ".join(known.fact)})


def decide_funds(
    fund: Fund | None,
    compensation: Compensation | None,
    known: BankRef | None,
    received: FundsReceived,
    policy: PoolPolicy,
    today: date,
) -> Decision:
    """Book money that the custodian received (pool.custodian 二(二)2, recovery.remit 三(七), clawback.full 四(二)).

    Recoveries and clawbacks are applied up to what of that loan's paid compensation has not come back; the rest, and
    money for a loan that the pool never paid for, waits unallocated: in the account, but not available for payouts.
    """
    if known is not None:
        return _known_or_refused(known, received)
    if received.received_on > today:
        return Refusal("pool.custodian", "future", {"date": str(received.received_on), "today": str(today)})
    journal = Journal(fund, policy, today)
    event = _booked(journal, compensation, received)
    journal.add(event)
    advance(journal)
    if event.applied == event.amount:
        return journal.accepted()
    rest = format_yuan(event.amount - event.applied)
    note = (
        f"其中 {rest} 元超出该笔贷款未收回的代偿，列为待查款，不用于兑付。 "
        f"{rest} yuan exceed what of this loan's compensation has not come back: kept unallocated, not paid out."
    )
    return journal.accepted(unallocated=rest, note=note)


def _booked(journal: Journal, compensation: Compensation | None, received: FundsReceived) -> FundsBooked:
    other = received.purpose == "other"
    loan = None if other else compensation
    open_fen = compensation.open_fen if compensation else 0
    applied = received.amount if other else min(received.amount, open_fen)
    kept = compensation.recoverable_fen if compensation else 0
    why = journal.policy.why(
        "clawback.full" if received.purpose == "clawback" else "pool.custodian",
        received=format_yuan(received.amount), applied=format_yuan(applied), open=format_yuan(open_fen),
    )
    return made(
        FundsBooked, on=journal.on, fund=journal.figures, why=why, purpose=received.purpose,
        loan_no=received.loan_no or "", uscc=loan.uscc if loan else "",
        amount=received.amount, applied=applied, bank_ref=received.bank_ref, received_on=received.received_on,
        reinstated=0 if other else max(0, applied - kept), payee=loan.payee if loan else "",
        recommender=loan.recommender if loan else "",
    )


def decide_income(
    fund: Fund | None, known: BankRef | None, credited: IncomeCredited, sender: str, policy: PoolPolicy, today: date
) -> Decision:
    """Book income by the year of its period; a loss is booked and flagged (pool.income, 二(二)2).

    A loss that exceeds the available balance is booked in full all the same, for the custodian's cash really fell. What
    it took beyond the balance stands as ``shortfall``: the balance is zero, nothing is paid, and all that comes in
    fills the shortfall first. A loss above the account's whole cash cannot be, and is refused.
    """
    if known is not None:
        return _known_or_refused(known, credited)
    journal = Journal(fund, policy, today)
    figures = {"amount": format_yuan(credited.amount), "cash": format_yuan(journal.fund.cash_fen)}
    if int(credited.period[:4]) > today.year:
        return Refusal("pool.income", "future", {"period": credited.period, "today": str(today)})
    if journal.fund.cash_fen + credited.amount < 0:
        return Refusal("pool.income", "cash", figures)
    journal.add(
        made(
            IncomeBooked, on=today, fund=journal.figures, why=policy.why("pool.income", **figures),
            amount=credited.amount, period=credited.period, bank_ref=credited.bank_ref, loss=credited.amount < 0,
            by=sender,
        )
    )
    advance(journal)
    return journal.accepted()
