"""The pool's use cases: load, decide, hand back what follows with its ledger entries; the unit of work records it."""

from services.pool import signing
from services.pool.domain.close import close_books, half_before, halves
from services.pool.domain.compensation import decide_write_off
from services.pool.domain.custodian import decide_return, decide_settlement
from services.pool.domain.fees import decide_fee
from services.pool.domain.money_in import decide_capital, decide_funds, decide_income
from services.pool.domain.notice import decide_approval, decide_notice
from services.pool.domain.reports import decide_report, decide_statement
from services.pool.domain.subsidy import decide_subsidy
from services.pool.policy import PoolPolicy
from services.pool.queries import balances_at_end_of, cash_at_end_of, first_day, stand_of
from services.pool.store import (
    BANK_REF,
    CLOSE,
    COMPENSATION,
    DISBURSEMENT,
    SUBSIDY,
    known_loans,
    load_fund,
    waiting_approvals,
)
from shared.calendar import half_end, half_of
from shared.contracts.commands import ApproveFee, FileReport, InjectCapital, IssuePayoutNotice
from shared.contracts.gateway import BusinessDayStarted
from shared.contracts.partners import FundsReceived, IncomeCredited, StatementIssued, TransferReturned, TransferSettled
from shared.contracts.recovery import WriteOffApproved
from shared.contracts.review import CompensationApproved, SubsidyApproved
from shared.decisions import Accepted, Decision
from shared.messaging.unit_of_work import UnitOfWork


async def inject_capital(unit: UnitOfWork, command: InjectCapital) -> Decision:
    """Take in approved capital."""
    known = await unit.load(BANK_REF, command.bank_ref)
    return decide_capital(await load_fund(unit), known, command, unit.policy(PoolPolicy), unit.today)


async def record_approval(unit: UnitOfWork, approved: CompensationApproved) -> Decision:
    """Note consented compensations until a payout notice releases them."""
    known = await known_loans(unit, tuple(item.loan_no for item in approved.items))
    return decide_approval(await load_fund(unit), known, approved, unit.policy(PoolPolicy), unit.today)


async def issue_payout_notice(unit: UnitOfWork, command: IssuePayoutNotice) -> Decision:
    """Release what was consented and pay what may be paid."""
    approvals = await waiting_approvals(unit)
    return decide_notice(await load_fund(unit), approvals, command, unit.policy(PoolPolicy), unit.today)


async def pay_subsidy(unit: UnitOfWork, approved: SubsidyApproved) -> Decision:
    """Pay an approved premium subsidy."""
    subsidy = await unit.load(SUBSIDY, approved.policy_no)
    return decide_subsidy(await load_fund(unit), subsidy, approved, unit.policy(PoolPolicy), unit.today)


async def approve_fee(unit: UnitOfWork, command: ApproveFee) -> Decision:
    """One of the two approvals of a year's fee."""
    return decide_fee(await load_fund(unit), command, unit.sender, unit.policy(PoolPolicy), unit.today)


async def file_report(unit: UnitOfWork, command: FileReport) -> Decision:
    """File a report of the custodian."""
    return decide_report(command, unit.sender, unit.sender_kind, unit.policy(PoolPolicy), unit.today)


async def settle_transfer(unit: UnitOfWork, settled: TransferSettled) -> Decision:
    """Take the custodian's confirmation of a transfer."""
    disbursement = await unit.load(DISBURSEMENT, settled.disbursement_id)
    return decide_settlement(await load_fund(unit), disbursement, settled, unit.policy(PoolPolicy), unit.today)


async def take_back_transfer(unit: UnitOfWork, returned: TransferReturned) -> Decision:
    """Take back a transfer that the custodian could not make."""
    disbursement = await unit.load(DISBURSEMENT, returned.disbursement_id)
    return decide_return(await load_fund(unit), disbursement, returned, unit.policy(PoolPolicy), unit.today)


async def book_funds(unit: UnitOfWork, received: FundsReceived) -> Decision:
    """Book money that the custodian received."""
    known = await unit.load(BANK_REF, received.bank_ref)
    compensation = await unit.load(COMPENSATION, received.loan_no or "")
    fund, policy = await load_fund(unit), unit.policy(PoolPolicy)
    return decide_funds(fund, compensation, known, received, policy, unit.today)


async def book_income(unit: UnitOfWork, credited: IncomeCredited) -> Decision:
    """Book income that the custodian credited."""
    known = await unit.load(BANK_REF, credited.bank_ref)
    fund, policy = await load_fund(unit), unit.policy(PoolPolicy)
    return decide_income(fund, known, credited, unit.sender, policy, unit.today)


async def reconcile_statement(unit: UnitOfWork, issued: StatementIssued) -> Decision:
    """Compare the custodian's statement with the ledger."""
    ledger_fen = await cash_at_end_of(await unit.reading(), unit.scheme.id, issued.as_of)
    return decide_statement(await load_fund(unit), ledger_fen, issued, unit.policy(PoolPolicy), unit.today)


async def book_write_off(unit: UnitOfWork, approved: WriteOffApproved) -> Decision:
    """Book a write-off that recovery approved."""
    compensation = await unit.load(COMPENSATION, approved.loan_no)
    return decide_write_off(await load_fund(unit), compensation, approved, unit.policy(PoolPolicy), unit.today)


async def close_half_years(unit: UnitOfWork, started: BusinessDayStarted) -> Decision:
    """Close every half-year that is over, money moved in or before, and has no close yet (pool.ledger)."""
    last = half_before(started.date)
    if await load_fund(unit) is None or await unit.load(CLOSE, last):
        return Accepted()
    scheme, connection = unit.scheme, await unit.reading()
    first = await first_day(connection, scheme.id)
    stand, events = await stand_of(connection, scheme.id), []
    closes = {half: await unit.load(CLOSE, half) for half in (halves(half_of(first), last) if first else ())}
    previous = next((close.digest for close in reversed(closes.values()) if close), "")  # the last one that was made
    for half in (half for half, close in closes.items() if close is None):
        balances = await balances_at_end_of(connection, scheme.id, half_end(half))
        event = close_books(scheme.id, scheme.version, half, stand, balances, previous, unit.today, signing.sign)
        events.append(event)
        previous = event.digest
    return Accepted(tuple(events))
