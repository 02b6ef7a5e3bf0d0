"""The referral service put together: who is referred, screened, barred and followed up."""

from services.referral import handlers
from services.referral.aggregates import BARS, CASES, DEPARTMENT_YEARS
from shared.contracts import commands, pool, recovery, review
from shared.messaging.service import Service

SERVICE = Service(
    name="referral",
    aggregates=(CASES, BARS, DEPARTMENT_YEARS),
    commands={
        commands.ReferEnterprise: handlers.refer_enterprise,
        commands.AmendReferral: handlers.amend_referral,
        commands.WithdrawReferral: handlers.withdraw_referral,
        commands.RecordFinding: handlers.record_finding,
        commands.ScreenReferral: handlers.screen_referral,
        commands.BarEnterprise: handlers.bar_enterprise,
        commands.RecordTracking: handlers.record_tracking,
    },
    events={
        review.FinancingFailed: handlers.note_failure,
        review.FinancingExhausted: handlers.end_exhausted,
        review.EnterpriseDeclined: handlers.end_declined,
        review.EnterpriseVetoed: handlers.end_vetoed,
        review.CaseClosed: handlers.end_closed,
        review.LoanCovered: handlers.note_loan,
        review.PrincipalRepaid: handlers.end_repaid,
        recovery.RecoveryClosed: handlers.end_recovered,
        pool.CompensationSettled: handlers.count_compensation,
    },
)
app = SERVICE.asgi()
