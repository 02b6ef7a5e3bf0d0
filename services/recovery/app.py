"""The recovery service put together: what comes back of compensated loans."""

from services.recovery import handlers
from services.recovery.aggregates import RECOVERIES, REPORTS
from shared.contracts import commands, gateway, partners, pool, review
from shared.messaging.service import Service

SERVICE = Service(
    name="recovery",
    aggregates=(RECOVERIES, REPORTS),
    commands={
        commands.ApproveWriteOff: handlers.approve_writeoff,
        commands.FileReport: handlers.file_report,
    },
    partner_events={
        partners.RecoveryCollected: handlers.share_recovery,
        partners.WriteOffProposed: handlers.propose_writeoff,
    },
    events={
        pool.CompensationSettled: handlers.credit_compensation,
        pool.FundsBooked: handlers.book_remittance,
        review.InstitutionSanctioned: handlers.demand_clawback,
        gateway.BusinessDayStarted: handlers.flag_overdue,
    },
)
app = SERVICE.asgi()
