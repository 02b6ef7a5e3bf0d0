"""From admission to the covered loan: agreements, the panel, financing and the business day."""

from services.review import queries
from services.review.aggregates import AGREEMENTS, CASES, HIGH_QUOTAS, LOANS
from services.review.domain import admission, agreements, coverage, financing, panel
from services.review.policy import ReviewPolicy
from shared.contracts import commands, gateway, partners, referral
from shared.decisions import Decision
from shared.messaging.unit_of_work import UnitOfWork


async def sign_agreement(uow: UnitOfWork, command: commands.SignAgreement) -> Decision:
    """Record an institution's agreement."""
    agreement = await uow.load(AGREEMENTS, command.institution)
    return agreements.decide_agreement(agreement, command, uow.policy(ReviewPolicy))


async def open_rating_round(uow: UnitOfWork, command: commands.OpenRatingRound) -> Decision:
    """eligible.attempts, eligible.bar and panel.seats."""
    case = await uow.load(CASES, command.uscc)
    signed = await queries.agreements(uow)
    return panel.decide_round(case, command, signed, uow.today, uow.policy(ReviewPolicy))


async def cast_vote(uow: UnitOfWork, command: commands.CastVote) -> Decision:
    """panel.majority, panel.tie."""
    case = await uow.load(CASES, command.uscc)
    signed = await queries.agreements(uow)
    return panel.decide_vote(case, command, uow.sender, signed, uow.today, uow.policy(ReviewPolicy))


async def decide_tie(uow: UnitOfWork, command: commands.DecideTie) -> Decision:
    """panel.tie."""
    case = await uow.load(CASES, command.uscc)
    signed = await queries.agreements(uow)
    return panel.decide_tie(case, command, signed, uow.today, uow.policy(ReviewPolicy))


async def veto_enterprise(uow: UnitOfWork, command: commands.VetoEnterprise) -> Decision:
    """panel.veto."""
    return panel.decide_veto(await uow.load(CASES, command.uscc), command, uow.policy(ReviewPolicy))


async def consent_high_risk(uow: UnitOfWork, command: commands.ConsentHighRisk) -> Decision:
    """grade.consent and grade.high_quota."""
    case = await uow.load(CASES, command.uscc)
    quota = await uow.load(HIGH_QUOTAS, str(uow.today.year))
    signed = await queries.agreements(uow)
    return panel.decide_consent(case, command, quota, signed, uow.today, uow.policy(ReviewPolicy))


async def push_financing(uow: UnitOfWork, command: commands.PushFinancing) -> Decision:
    """push.rated, loan.product, eligible.once."""
    case = await uow.load(CASES, command.uscc)
    signed = await queries.agreements(uow)
    group = await queries.group_of(uow, case)
    return financing.decide_push(case, command, signed, group, uow.today, uow.policy(ReviewPolicy))


async def financing_declined(uow: UnitOfWork, declined: partners.FinancingDeclined) -> Decision:
    """push.failed."""
    case = await uow.load(CASES, declined.uscc)
    return financing.decide_decline(case, declined, uow.sender, uow.policy(ReviewPolicy))


async def loan_disbursed(uow: UnitOfWork, report: partners.LoanDisbursed) -> Decision:
    """loan.*: cover the loan or say why not."""
    case = await uow.load(CASES, report.uscc)
    loan = await uow.load(LOANS, report.loan_no)
    signed = await queries.agreements(uow)
    group = await queries.group_of(uow, case)
    policy = uow.policy(ReviewPolicy)
    return coverage.decide_cover(case, loan, report, uow.sender, signed, group, uow.today, policy)


async def enterprise_admitted(uow: UnitOfWork, admitted: referral.EnterpriseAdmitted) -> Decision:
    """Open the case of an admitted enterprise."""
    return admission.decide_opening(await uow.load(CASES, admitted.uscc), admitted, uow.policy(ReviewPolicy))


async def enterprise_barred(uow: UnitOfWork, barred: referral.EnterpriseBarred) -> Decision:
    """eligible.bar."""
    cases = await queries.cases_of(uow, barred.uscc, admission.identity(barred.legal_representative.id))
    return admission.decide_bar(cases, barred, uow.policy(ReviewPolicy))


async def referral_withdrawn(uow: UnitOfWork, withdrawn: referral.ReferralWithdrawn) -> Decision:
    """End the case of a withdrawn referral."""
    return admission.decide_withdrawal(await uow.load(CASES, withdrawn.uscc), uow.policy(ReviewPolicy))


async def business_day_started(uow: UnitOfWork, day: gateway.BusinessDayStarted) -> Decision:
    """push.failed by deadline, grade.lifetime."""
    return financing.decide_day(await queries.due_on(uow, day.date), day.date, uow.policy(ReviewPolicy))
