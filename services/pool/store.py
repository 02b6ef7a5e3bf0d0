"""What the pool keeps: its aggregates, each the fold of the pool's own events, and the rows of the ledger."""

from services.pool import tables
from services.pool.domain.compensation import Compensation, compensation_keys, evolve_compensation
from services.pool.domain.disbursement import Disbursement, disbursement_keys, evolve_disbursement
from services.pool.domain.fund import FUND_KEY, Fund, evolve_fund, fund_keys
from services.pool.domain.money_in import BankRef, bank_ref_keys, evolve_bank_ref
from services.pool.domain.notice import Approval, approval_keys, evolve_approval
from services.pool.domain.subsidy import Subsidy, evolve_subsidy, subsidy_keys
from services.pool.ledger import effective_on
from shared.aggregates import Aggregate
from shared.contracts.base import Event
from shared.contracts.pool import PoolEvent
from shared.messaging.unit_of_work import UnitOfWork

FUND = Aggregate("fund", tables.fund, Fund, evolve_fund, fund_keys)
COMPENSATION = Aggregate("compensation", tables.compensations, Compensation, evolve_compensation, compensation_keys)
SUBSIDY = Aggregate("subsidy", tables.subsidies, Subsidy, evolve_subsidy, subsidy_keys)
DISBURSEMENT = Aggregate("disbursement", tables.disbursements, Disbursement, evolve_disbursement, disbursement_keys)
APPROVAL = Aggregate("approval", tables.approvals, Approval, evolve_approval, approval_keys)
BANK_REF = Aggregate("bank_ref", tables.bank_refs, BankRef, evolve_bank_ref, bank_ref_keys)
AGGREGATES = (FUND, COMPENSATION, SUBSIDY, DISBURSEMENT, APPROVAL, BANK_REF)


async def load_fund(unit: UnitOfWork) -> Fund | None:
    """The fund of this scheme; none before its first event."""
    return await unit.load(FUND, FUND_KEY)


async def waiting_approvals(unit: UnitOfWork) -> list[Approval]:
    """Consents that no notice has released yet."""
    return await unit.select(APPROVAL, tables.approvals.c.waits)


async def known_loans(unit: UnitOfWork, loan_nos: tuple[str, ...]) -> frozenset[str]:
    """Those of some loans that have their one compensation already, released or waiting."""
    known = {loan_no for approval in await waiting_approvals(unit) for loan_no in approval.loan_nos}
    for loan_no in loan_nos:
        if await unit.load(COMPENSATION, loan_no):
            known.add(loan_no)
    return frozenset(known)


async def write_entries(unit: UnitOfWork, event_id: str, event: Event) -> None:
    """Write an event's posting into the ledger, in the transaction that records the event (pool.ledger, 二(二)2)."""
    if not isinstance(event, PoolEvent) or not event.entries:
        return
    rows = [
        {
            "scheme": unit.scheme.id, "event_id": event_id, "line": line, "account": entry.account,
            "amount_fen": entry.amount, "effective_on": effective_on(event), "recorded_at": unit.now,
        }
        for line, entry in enumerate(event.entries, start=1)
    ]
    await unit.connection.execute(tables.entries.insert(), rows)
