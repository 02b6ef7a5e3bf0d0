"""What the pool keeps: its aggregates, each the fold of the pool's own events."""

from services.pool import tables
from services.pool.domain.close import Close, close_keys, evolve_close
from services.pool.domain.compensation import Compensation, compensation_keys, evolve_compensation
from services.pool.domain.disbursement import Disbursement, disbursement_keys, evolve_disbursement
from services.pool.domain.fund import FUND_KEY, Fund, evolve_fund, fund_keys
from services.pool.domain.money_in import BankRef, bank_ref_keys, evolve_bank_ref
from services.pool.domain.notice import Approval, approval_keys, evolve_approval
from services.pool.domain.subsidy import Subsidy, evolve_subsidy, subsidy_keys
from shared.aggregates import Aggregate, named_by
from shared.messaging.unit_of_work import UnitOfWork

FUND = Aggregate("fund", tables.fund, Fund, evolve_fund, fund_keys)
COMPENSATION = Aggregate(
    "compensation", tables.compensations, Compensation, evolve_compensation, compensation_keys, named_by("loan_no")
)
SUBSIDY = Aggregate("subsidy", tables.subsidies, Subsidy, evolve_subsidy, subsidy_keys, named_by("policy_no"))
DISBURSEMENT = Aggregate(
    "disbursement", tables.disbursements, Disbursement, evolve_disbursement, disbursement_keys,
    named_by("disbursement_id"),
)  # fmt: skip
APPROVAL = Aggregate("approval", tables.approvals, Approval, evolve_approval, approval_keys)
BANK_REF = Aggregate(
    "bank_ref", tables.bank_refs, BankRef, evolve_bank_ref, bank_ref_keys, named_by("bank_ref"), once=True
)
CLOSE = Aggregate("close", tables.closes, Close, evolve_close, close_keys, once=True)
AGGREGATES = (FUND, COMPENSATION, SUBSIDY, DISBURSEMENT, APPROVAL, BANK_REF, CLOSE)


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
