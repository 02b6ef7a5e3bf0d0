"""From repayment to compensation, and what surrounds it: claims, batches, subsidies, sanctions."""

from collections.abc import Iterable
from decimal import Decimal

from services.review.aggregates import AGREEMENTS, BATCHES, LOANS, SUBSIDIES
from services.review.domain import batches, claims, repayments, sanctions, subsidies, verification
from services.review.domain.loans import Loan
from services.review.policy import ReviewPolicy
from shared.contracts import commands, partners, pool, recovery
from shared.decisions import Decision
from shared.messaging.unit_of_work import UnitOfWork


async def loan_repaid(uow: UnitOfWork, repaid: partners.LoanRepaid) -> Decision:
    """loan.repayment."""
    loan = await uow.load(LOANS, repaid.loan_no)
    return repayments.decide_repayment(loan, repaid, uow.sender, uow.today, uow.policy(ReviewPolicy))


async def loan_defaulted(uow: UnitOfWork, filed: partners.LoanDefaulted) -> Decision:
    """claim.*: file a claim."""
    loan = await uow.load(LOANS, filed.loan_no)
    compensated = await uow.select(LOANS, LOANS.table.c.status == "compensated")
    return claims.decide_claim(loan, filed, uow.sender, compensated, uow.now, uow.policy(ReviewPolicy))


async def open_claim_batch(uow: UnitOfWork, command: commands.OpenClaimBatch) -> Decision:
    """batch.half_year."""
    batch = await uow.load(BATCHES, command.half)
    claimed = await uow.select(LOANS, LOANS.table.c.status == "claimed")
    return batches.decide_opening(batch, command.half, claimed, uow.today, uow.policy(ReviewPolicy))


async def set_verified_principal(uow: UnitOfWork, command: commands.SetVerifiedPrincipal) -> Decision:
    """batch.vote: a lower principal before the vote."""
    loan = await uow.load(LOANS, command.loan_no)
    batch = await uow.load(BATCHES, loan.half if loan else "")
    return verification.decide_verified_principal(loan, batch, command, uow.policy(ReviewPolicy))


async def verify_claim(uow: UnitOfWork, command: commands.VerifyClaim) -> Decision:
    """batch.vote."""
    loan = await uow.load(LOANS, command.loan_no)
    batch = await uow.load(BATCHES, loan.half if loan else "")
    return verification.decide_verification(loan, batch, uow.sender, command, uow.policy(ReviewPolicy))


async def submit_claim_batch(uow: UnitOfWork, command: commands.SubmitClaimBatch) -> Decision:
    """batch.vote: every claim decided, then to the district government."""
    batch = await uow.load(BATCHES, command.half)
    loans = await _loans(uow, batch.loan_nos if batch else ())
    return batches.decide_submission(batch, command.half, loans, uow.policy(ReviewPolicy))


async def consent_claim_batch(uow: UnitOfWork, command: commands.ConsentClaimBatch) -> Decision:
    """batch.consent and compensation.amount."""
    batch = await uow.load(BATCHES, command.half)
    loans = await _loans(uow, batch.submitted if batch else ())
    reductions = await _reductions(uow, loans)
    return batches.decide_consent(batch, loans, reductions, command, uow.today, uow.policy(ReviewPolicy))


async def premium_paid(uow: UnitOfWork, paid: partners.PremiumPaid) -> Decision:
    """pool.subsidy: the insurer's report."""
    subsidy = await uow.load(SUBSIDIES, paid.policy_no)
    loan = await uow.load(LOANS, paid.loan_no)
    policy = uow.policy(ReviewPolicy)
    return subsidies.decide_reported_premium(subsidy, loan, paid, uow.sender, uow.today, policy)


async def apply_subsidy(uow: UnitOfWork, command: commands.ApplySubsidy) -> Decision:
    """pool.subsidy: the enterprise's application."""
    subsidy = await uow.load(SUBSIDIES, command.policy_no)
    loan = await uow.load(LOANS, command.loan_no)
    return subsidies.decide_application(subsidy, loan, command, uow.today, uow.policy(ReviewPolicy))


async def approve_subsidy(uow: UnitOfWork, command: commands.ApproveSubsidy) -> Decision:
    """pool.subsidy: DRC's approval."""
    subsidy = await uow.load(SUBSIDIES, command.policy_no)
    return subsidies.decide_approval(subsidy, command, uow.today, uow.policy(ReviewPolicy))


async def sanction_institution(uow: UnitOfWork, command: commands.SanctionInstitution) -> Decision:
    """sanction.institution."""
    agreement = await uow.load(AGREEMENTS, command.institution)
    loans = {loan.loan_no: loan for loan in await _loans(uow, command.loan_nos)}
    return sanctions.decide_sanction(agreement, loans, command, uow.today, uow.policy(ReviewPolicy))


async def on_compensation_settled(uow: UnitOfWork, settled: pool.CompensationSettled) -> Decision:
    """claim.statement: from now on a statement is owed for this loan."""
    return repayments.note_compensation(settled)


async def on_recovery_closed(uow: UnitOfWork, closed: recovery.RecoveryClosed) -> Decision:
    """claim.statement: no statement is owed any more."""
    return repayments.note_recovery(closed)


async def _loans(uow: UnitOfWork, loan_nos: Iterable[str]) -> list[Loan]:
    found = [await uow.load(LOANS, loan_no) for loan_no in loan_nos]
    return [loan for loan in found if loan]


async def _reductions(uow: UnitOfWork, loans: Iterable[Loan]) -> dict[str, Decimal]:
    """The share withheld from each payee's compensation by a sanction in force (compensation.amount)."""
    found = [await uow.load(AGREEMENTS, payee) for payee in sorted({loan.payee for loan in loans if loan.payee})]
    return {agreement.institution: agreement.reduction for agreement in found if agreement}
