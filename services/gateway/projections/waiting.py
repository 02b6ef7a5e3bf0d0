"""What waits for whom: each row is made and ended by one service's events, so other services' order does not matter."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select, union_all

from services.gateway.projections.tables import cases, loans, payouts, waiting
from services.gateway.projections.writing import Projected
from shared.calendar import half_end, half_of
from shared.contracts import pool, recovery, referral, review
from shared.contracts.base import Event

DRC, FINANCE, GOVERNMENT = "drc", "finance", "government"
IN_REVIEW = ("round", "vote", "tie", "consent", "push", "pushed")
_FEE_IS_KNOWN = union_all(
    select(payouts.c.ref).where(
        payouts.c.scheme == bindparam("scheme"), payouts.c.kind == "fee", payouts.c.ref == bindparam("year")
    ),
    select(waiting.c.about).where(
        waiting.c.scheme == bindparam("scheme"), waiting.c.kind == "fee", waiting.c.about == bindparam("year")
    ),
)
Handler = Callable[[Projected, Any], Awaitable[None]]


async def _add(at: Projected, kind: str, about: str, organisations: Iterable[str], **more: Any) -> None:
    rows = [{"organisation": one, "kind": kind, "about": about, "since": at.day, **more} for one in organisations]
    await at.insert(waiting, rows)


async def _end(at: Projected, kinds: Iterable[str], about: str, organisation: str | None = None) -> None:
    ended = delete(waiting).where(waiting.c.scheme == at.scheme, waiting.c.kind.in_(tuple(kinds)))
    ended = ended.where(waiting.c.about == about)
    if organisation is not None:
        ended = ended.where(waiting.c.organisation == organisation)
    await at.connection.execute(ended)


async def _seats(at: Projected, uscc: Any) -> list[str]:
    """The seats that rate an enterprise, or rated it; review said so before."""
    query = select(cases.c.seats).where(cases.c.scheme == at.scheme, cases.c.uscc == uscc)
    return list((await at.connection.execute(query)).scalar() or ())


async def to_screen(at: Projected, event: referral.EnterpriseReferred | referral.ReferralAmended) -> None:
    """A referral waits for screening."""
    await _end(at, ("supplement",), event.uscc)
    await _add(at, "screen", event.uscc, [DRC], uscc=event.uscc)


async def screened(at: Projected, event: Any) -> None:
    """Screening is over."""
    await _end(at, ("screen", "supplement"), event.uscc)


async def to_supplement(at: Projected, event: referral.ReferralReturned) -> None:
    """The recommender has to add to its referral."""
    await screened(at, event)
    query = select(cases.c.recommender).where(cases.c.scheme == at.scheme, cases.c.uscc == event.uscc)
    if recommender := (await at.connection.execute(query)).scalar():
        await _add(at, "supplement", event.uscc, [recommender], uscc=event.uscc)


async def to_panel(at: Projected, event: Any) -> None:
    """A case waits for a round of the panel."""
    await over(at, event)
    await _add(at, "round", event.uscc, [DRC], uscc=event.uscc)


async def over(at: Projected, event: Any) -> None:
    """Nothing of the review waits any longer."""
    await _end(at, IN_REVIEW, event.uscc)


async def round_opened(at: Projected, event: review.RatingRoundOpened) -> None:
    """Every seat votes."""
    await over(at, event)
    await _add(at, "vote", event.uscc, event.seats, uscc=event.uscc)


async def voted(at: Projected, event: review.VoteCast) -> None:
    """A seat has voted."""
    await _end(at, ("vote",), event.uscc, event.seat)


async def revote(at: Projected, event: review.RevoteOpened) -> None:
    """Every seat votes once more (panel.tie)."""
    await _add(at, "vote", event.uscc, await _seats(at, event.uscc), uscc=event.uscc)


async def tied(at: Projected, event: review.LeadDecisionRequired) -> None:
    """DRC decides among the leading options (panel.tie)."""
    await _end(at, ("vote",), event.uscc)
    await _add(at, "tie", event.uscc, [DRC], uscc=event.uscc)


async def tie_decided(at: Projected, event: review.TieDecided) -> None:
    """DRC has decided."""
    await _end(at, ("tie",), event.uscc)


async def to_consent(at: Projected, event: review.ConsentRequested) -> None:
    """A high result waits for the district government (grade.consent)."""
    await over(at, event)
    await _add(at, "consent", event.uscc, [GOVERNMENT], uscc=event.uscc)


async def to_push(at: Projected, event: review.EnterpriseRated) -> None:
    """A rated case waits to be pushed, as long as its rating lives (grade.lifetime)."""
    await over(at, event)
    await _add(at, "push", event.uscc, [DRC], uscc=event.uscc, due_on=event.lapses_on)


async def pushed(at: Projected, event: review.FinancingPushed) -> None:
    """The institutions lend or decline until the deadline (push.failed)."""
    await over(at, event)
    await _add(at, "pushed", event.uscc, event.institutions, uscc=event.uscc, due_on=event.deadline_on)


async def declined(at: Projected, event: review.FinancingRefused) -> None:
    """An institution has answered."""
    await _end(at, ("pushed",), event.uscc, event.institution)


async def claimed(at: Projected, event: review.ClaimAccepted) -> None:
    """A claim waits for the batch of its half-year, to be opened after the cut-off (batch.half_year)."""
    await _end(at, ("statement",), event.loan_no)
    half = half_of(event.accepted_on)
    await _add(at, "batch", half, [DRC], half=half, opens_on=half_end(half) + timedelta(days=1))


async def claim_refused(at: Projected, event: review.ClaimRefused) -> None:
    """A claim came without the recovery statements it needs (claim.statement)."""
    if event.rule == "claim.statement":
        await _add(at, "statement", event.loan_no, [event.claimant], uscc=event.uscc or None)


async def batch_opened(at: Projected, event: review.ClaimBatchOpened) -> None:
    """The seats that rated each enterprise verify its claim (batch.vote)."""
    ended = delete(waiting).where(waiting.c.scheme == at.scheme, waiting.c.kind == "batch")
    await at.connection.execute(ended.where(waiting.c.about <= event.half))
    if event.loan_nos:
        await _add(at, "submit", event.half, [DRC], half=event.half)
    for loan_no in event.loan_nos:
        query = select(loans.c.uscc).where(loans.c.scheme == at.scheme, loans.c.loan_no == loan_no)
        uscc = (await at.connection.execute(query)).scalar()
        await _add(at, "claim", loan_no, await _seats(at, uscc), uscc=uscc, half=event.half)


async def claim_voted(at: Projected, event: review.ClaimVoteCast) -> None:
    """A seat has voted on a claim."""
    await _end(at, ("claim",), event.loan_no, event.seat)


async def claim_revote(at: Projected, event: review.ClaimRevoteOpened) -> None:
    """Every seat votes on the claim once more."""
    query = select(loans.c.claim["half"].astext).where(loans.c.scheme == at.scheme, loans.c.loan_no == event.loan_no)
    half = (await at.connection.execute(query)).scalar()
    await _add(at, "claim", event.loan_no, await _seats(at, event.uscc), uscc=event.uscc, half=half)


async def claim_decided(at: Projected, event: Any) -> None:
    """The vote on a claim is over."""
    await _end(at, ("claim",), event.loan_no)


async def batch_submitted(at: Projected, event: review.ClaimBatchSubmitted) -> None:
    """A batch waits for the district government (batch.consent)."""
    await _end(at, ("submit",), event.half)
    await _add(at, "consent_batch", event.half, [GOVERNMENT], half=event.half)


async def batch_refused(at: Projected, event: review.ClaimBatchRefused) -> None:
    """A refused batch may be submitted again."""
    await batch_decided(at, event)
    await _add(at, "submit", event.half, [DRC], half=event.half)


async def batch_decided(at: Projected, event: Any) -> None:
    """The district government has decided."""
    await _end(at, ("consent_batch",), event.half)


async def subsidy_applied(at: Projected, event: review.SubsidyApplied) -> None:
    """A premium subsidy waits for DRC (pool.subsidy)."""
    await _add(at, "subsidy", event.policy_no, [DRC], uscc=event.uscc)


async def subsidy_decided(at: Projected, event: review.SubsidyApproved | review.SubsidyRefused) -> None:
    """DRC has decided on a subsidy."""
    await _end(at, ("subsidy",), event.policy_no)


async def income_booked(at: Projected, event: pool.IncomeBooked) -> None:
    """A year's income brings a fee for both to approve once the year is over (pool.fee)."""
    year = event.period[:4]
    known = {"scheme": at.scheme, "year": year}
    if event.amount > 0 and (await at.connection.execute(_FEE_IS_KNOWN, known)).first() is None:
        await _add(at, "fee", year, [DRC, FINANCE], opens_on=date(int(year) + 1, 1, 1))


async def fee_approved(at: Projected, event: pool.FeeApproval) -> None:
    """The other of the two has still to approve."""
    await _add(at, "fee", str(event.year), {DRC, FINANCE} - {event.by})
    await _end(at, ("fee",), str(event.year), event.by)


async def fee_released(at: Projected, event: pool.FeeReleased) -> None:
    """Both have approved."""
    await _end(at, ("fee",), str(event.year))


async def mismatch(at: Projected, event: pool.StatementMismatch) -> None:
    """The custodian's balance differs from the ledger's until a later statement agrees (pool.reconcile)."""
    await _add(at, "mismatch", event.as_of.isoformat(), [DRC, FINANCE])


async def reconciled(at: Projected, event: pool.StatementReconciled) -> None:
    """Differences of earlier days are explained."""
    ended = delete(waiting).where(waiting.c.scheme == at.scheme, waiting.c.kind == "mismatch")
    await at.connection.execute(ended.where(waiting.c.about <= event.as_of.isoformat()))


async def write_off_requested(at: Projected, event: recovery.WriteOffRequested) -> None:
    """Two different units approve a write-off (writeoff.approval)."""
    await _add(at, "write_off", event.loan_no, [DRC, FINANCE], uscc=event.uscc)


async def write_off_approved_by(at: Projected, event: recovery.WriteOffApproval) -> None:
    """One of the two has approved."""
    await _end(at, ("write_off",), event.loan_no, event.by)


async def write_off_decided(at: Projected, event: recovery.WriteOffApproved | recovery.WriteOffRefused) -> None:
    """The write-off is decided."""
    await _end(at, ("write_off",), event.loan_no)


HANDLERS: dict[type[Event], tuple[Handler, ...]] = {
    referral.EnterpriseReferred: (to_screen,),
    referral.ReferralAmended: (to_screen,),
    referral.EnterpriseAdmitted: (screened,),
    referral.ReferralReturned: (to_supplement,),
    referral.ReferralRefused: (screened,),
    referral.ReferralWithdrawn: (screened,),
    referral.ReferralClosed: (screened,),
    review.CaseOpened: (to_panel,),
    review.RatingRoundOpened: (round_opened,),
    review.VoteCast: (voted,),
    review.RevoteOpened: (revote,),
    review.LeadDecisionRequired: (tied,),
    review.TieDecided: (tie_decided,),
    review.ConsentRequested: (to_consent,),
    review.ConsentRefused: (to_panel,),
    review.EnterpriseRated: (to_push,),
    review.RatingLapsed: (to_panel,),
    review.FinancingPushed: (pushed,),
    review.FinancingRefused: (declined,),
    review.FinancingFailed: (to_panel,),
    review.FinancingExhausted: (over,),
    review.EnterpriseDeclined: (over,),
    review.EnterpriseVetoed: (over,),
    review.CaseClosed: (over,),
    review.LoanCovered: (over,),
    review.ClaimAccepted: (claimed,),
    review.ClaimRefused: (claim_refused,),
    review.ClaimBatchOpened: (batch_opened,),
    review.ClaimVoteCast: (claim_voted,),
    review.ClaimRevoteOpened: (claim_revote,),
    review.ClaimVerified: (claim_decided,),
    review.ClaimRejected: (claim_decided,),
    review.ClaimBatchSubmitted: (batch_submitted,),
    review.ClaimBatchRefused: (batch_refused,),
    review.CompensationApproved: (batch_decided,),
    review.SubsidyApplied: (subsidy_applied,),
    review.SubsidyApproved: (subsidy_decided,),
    review.SubsidyRefused: (subsidy_decided,),
    pool.IncomeBooked: (income_booked,),
    pool.FeeApproval: (fee_approved,),
    pool.FeeReleased: (fee_released,),
    pool.StatementMismatch: (mismatch,),
    pool.StatementReconciled: (reconciled,),
    recovery.WriteOffRequested: (write_off_requested,),
    recovery.WriteOffApproval: (write_off_approved_by,),
    recovery.WriteOffApproved: (write_off_decided,),
    recovery.WriteOffRefused: (write_off_decided,),
}
