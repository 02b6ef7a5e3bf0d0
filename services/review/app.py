"""The review service: what it answers, what it takes, and what it keeps."""

from services.review.aggregates import AGREEMENTS, BATCHES, CASES, HIGH_QUOTAS, LOANS, SUBSIDIES
from services.review.handlers import cases, claims
from shared.contracts import commands, gateway, partners, pool, recovery, referral
from shared.messaging.service import Service

SERVICE = Service(
    name="review",
    aggregates=(CASES, AGREEMENTS, HIGH_QUOTAS, LOANS, BATCHES, SUBSIDIES),
    commands={
        commands.SignAgreement: cases.sign_agreement,
        commands.OpenRatingRound: cases.open_rating_round,
        commands.CastVote: cases.cast_vote,
        commands.DecideTie: cases.decide_tie,
        commands.VetoEnterprise: cases.veto_enterprise,
        commands.ConsentHighRisk: cases.consent_high_risk,
        commands.PushFinancing: cases.push_financing,
        commands.OpenClaimBatch: claims.open_claim_batch,
        commands.SetVerifiedPrincipal: claims.set_verified_principal,
        commands.VerifyClaim: claims.verify_claim,
        commands.SubmitClaimBatch: claims.submit_claim_batch,
        commands.ConsentClaimBatch: claims.consent_claim_batch,
        commands.ApplySubsidy: claims.apply_subsidy,
        commands.ApproveSubsidy: claims.approve_subsidy,
        commands.SanctionInstitution: claims.sanction_institution,
    },
    partner_events={
        partners.FinancingDeclined: cases.financing_declined,
        partners.LoanDisbursed: cases.loan_disbursed,
        partners.LoanRepaid: claims.loan_repaid,
        partners.LoanDefaulted: claims.loan_defaulted,
        partners.PremiumPaid: claims.premium_paid,
    },
    events={
        referral.EnterpriseAdmitted: cases.enterprise_admitted,
        referral.EnterpriseBarred: cases.enterprise_barred,
        referral.ReferralWithdrawn: cases.referral_withdrawn,
        gateway.BusinessDayStarted: cases.business_day_started,
        pool.CompensationSettled: claims.on_compensation_settled,
        recovery.RecoveryClosed: claims.on_recovery_closed,
    },
)
app = SERVICE.asgi()
