"""Every service's events, in their order: kept for reading and handed to the projections that know them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections import (
    cases,
    departments,
    institutions,
    ledger,
    loans,
    obligations,
    pool,
    recoveries,
    waiting,
)
from services.gateway.projections.writing import Projected
from services.gateway.tables import event_positions, events
from shared.contracts import pool as money
from shared.contracts import recovery, referral, review
from shared.contracts.base import Event
from shared.messaging.envelope import Envelope

Handler = Callable[[Projected, Any], Awaitable[None]]
_ABOUT = ("uscc", "loan_no", "policy_no", "disbursement_id", "institution", "department", "half", "notice_no")

HANDLERS: dict[type[Event], tuple[Handler, ...]] = {
    referral.EnterpriseReferred: (cases.referred, departments.referred),
    referral.ReferralAmended: (cases.amended,),
    referral.EnterpriseAdmitted: (cases.admitted,),
    referral.ReferralReturned: (cases.returned,),
    referral.ReferralRefused: (cases.refused,),
    referral.ReferralWithdrawn: (cases.withdrawn,),
    referral.ReferralClosed: (cases.referral_closed,),
    referral.EnterpriseBarred: (cases.barred,),
    referral.CompensationCounted: (departments.compensation_counted,),
    referral.DepartmentFlagged: (departments.flagged,),
    review.AgreementSigned: (institutions.agreement_signed,),
    review.InstitutionSanctioned: (institutions.sanctioned,),
    review.CaseOpened: (cases.opened,),
    review.RatingRoundOpened: (cases.round_opened,),
    review.ConsentRequested: (cases.consent_requested,),
    review.ConsentRefused: (cases.back_to_panel,),
    review.EnterpriseRated: (cases.rated,),
    review.RatingLapsed: (cases.back_to_panel,),
    review.FinancingPushed: (cases.pushed,),
    review.FinancingFailed: (cases.back_to_panel,),
    review.FinancingExhausted: (cases.ended,),
    review.EnterpriseDeclined: (cases.ended,),
    review.EnterpriseVetoed: (cases.ended,),
    review.CaseClosed: (cases.ended,),
    review.LoanCovered: (cases.financed, loans.covered),
    review.LoanUncovered: (loans.uncovered,),
    review.PrincipalRepaid: (loans.repaid,),
    review.ClaimAccepted: (loans.claim_accepted,),
    review.ClaimBatchOpened: (loans.batch_opened,),
    review.VerifiedPrincipalSet: (loans.principal_set,),
    review.ClaimVerified: (loans.claim_verified,),
    review.ClaimRejected: (loans.claim_rejected,),
    review.ClaimBatchSubmitted: (loans.batch_submitted,),
    review.CompensationApproved: (loans.compensation_approved,),
    money.PayoutNoticeIssued: (pool.notice_issued,),
    money.SubsidyReleased: (pool.subsidy_released,),
    money.FeeReleased: (pool.fee_released,),
    money.CompensationInstructed: (pool.instructed,),
    money.SubsidyInstructed: (pool.instructed,),
    money.FeeInstructed: (pool.instructed,),
    money.CompensationHeld: (pool.held,),
    money.SubsidyHeld: (pool.held,),
    money.FeeHeld: (pool.held,),
    money.CompensationSettled: (pool.settled,),
    money.SubsidySettled: (pool.settled,),
    money.FeeSettled: (pool.settled,),
    money.DisbursementReturned: (pool.returned,),
    money.ReportFiled: (obligations.report_filed,),
    recovery.RecoveryOpened: (recoveries.opened,),
    recovery.CompensationCredited: (recoveries.credited,),
    recovery.RecoveryShared: (recoveries.shared,),
    recovery.RecoveryRemitted: (recoveries.remitted,),
    recovery.RemittanceOverdue: (recoveries.overdue,),
    recovery.WriteOffRequested: (recoveries.write_off_requested,),
    recovery.WriteOffRefused: (recoveries.write_off_refused,),
    recovery.WriteOffApproved: (recoveries.written_off,),
    recovery.ClawbackDemanded: (recoveries.clawback_demanded,),
    recovery.ClawbackReturned: (recoveries.clawed_back,),
    recovery.RecoveryClosed: (recoveries.closed,),
    recovery.ReportFiled: (obligations.report_filed,),
}


async def project(connection: AsyncConnection, batch: Sequence[tuple[Envelope, Event]]) -> None:
    """Keep events and let the projections that know them write their rows, in the batch's transaction."""
    last = await _keep(connection, batch)
    positions = range(last - len(batch) + 1, last + 1)
    await fold(
        [
            (Projected(connection, envelope, position), event)
            for position, (envelope, event) in zip(positions, batch, strict=True)
        ]
    )


async def fold(batch: Sequence[tuple[Projected, Event]]) -> None:
    """Let the projections that know events write their rows; they follow from the events alone."""
    for at, event in batch:
        for handler in (*HANDLERS.get(type(event), ()), *waiting.HANDLERS.get(type(event), ())):
            await handler(at, event)
    # What every event of the pool changes is written once a batch; no other projection reads it.
    if postings := [(at, event) for at, event in batch if isinstance(event, money.PoolEvent)]:
        await pool.figures(postings)
        await ledger.posted(postings)


async def _keep(connection: AsyncConnection, batch: Sequence[tuple[Envelope, Event]]) -> int:
    """Store events at the next positions, and say the last; the counter's row lock lets them grow in commit order."""
    counter = insert(event_positions).values(id=1, last=len(batch))
    counter = counter.on_conflict_do_update(
        index_elements=["id"], set_={"last": event_positions.c.last + counter.excluded.last}
    )
    last: int = (await connection.execute(counter.returning(event_positions.c.last))).scalar_one()
    rows = [
        {
            "position": last - len(batch) + place,
            "id": envelope.id,
            "scheme": envelope.scheme,
            "service": event.service,
            "type": envelope.name,
            "subject": envelope.subject,
            "about": sorted(_about(envelope)),
            "at": envelope.time,
            "correlation_id": envelope.correlationid,
            "causation_id": envelope.causationid,
            "scheme_version": envelope.schemeversion,
            "data": {key: value for key, value in envelope.data.items() if key != "why"},
            "why": event.why.model_dump(mode="json") if event.why else None,
        }
        for place, (envelope, event) in enumerate(batch, 1)
    ]
    await connection.execute(insert(events), rows)
    return last


def _about(envelope: Envelope) -> set[str]:
    """Every business id that the event names, at its top or in its items: what ``/events?about=`` finds."""
    data = envelope.data
    items = data.get("items")
    parts = [data, *(item for item in items if isinstance(item, dict))] if isinstance(items, list) else [data]
    named = {str(part[key]) for part in parts for key in _ABOUT if part.get(key)}
    return named | {str(one) for one in data.get("loan_nos") or ()} | ({envelope.subject} - {""})
