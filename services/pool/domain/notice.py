"""From consent to queue: approvals that wait for a payout notice, and the notice that releases them all."""

from collections.abc import Sequence
from datetime import date

from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.domain.payout import advance
from services.pool.policy import PoolPolicy
from shared.contracts.base import Day, Event, Shape, made
from shared.contracts.commands import IssuePayoutNotice
from shared.contracts.pool import ApprovalRecorded, PayoutNoticeIssued, ReleasedItem
from shared.contracts.review import CompensationApproved, CompensationItem
from shared.decisions import Accepted, Decision, Refusal


class Consent(Shape):
    """What the district government consented to on one day, in payout order."""

    consented_on: Day
    items: tuple[CompensationItem, ...]


class Approval(Shape):
    """A half-year's consents that no notice has released yet."""

    half: str
    waiting: tuple[Consent, ...] = ()

    @property
    def loan_nos(self) -> tuple[str, ...]:
        """The loans that wait."""
        return tuple(item.loan_no for consent in self.waiting for item in consent.items)


def approval_keys(event: Event) -> tuple[str, ...]:
    """The half-years whose consents an event records or releases."""
    match event:
        case ApprovalRecorded():
            return (event.half,)
        case PayoutNoticeIssued():
            return tuple(sorted({item.half for item in event.items}))
    return ()


def evolve_approval(approval: Approval | None, event: Event) -> Approval | None:
    """A half-year's waiting consents after an event: a notice releases them all (pool.notice)."""
    match event:
        case ApprovalRecorded():
            before = approval.waiting if approval else ()
            consent = made(Consent, consented_on=event.consented_on, items=event.items)
            return made(Approval, half=event.half, waiting=(*before, consent))
        case PayoutNoticeIssued() if approval:
            return approval.but(waiting=())
    return approval


def decide_approval(
    fund: Fund | None, known: frozenset[str], approved: CompensationApproved, policy: PoolPolicy, today: date
) -> Decision:
    """Note what the district government consented to (batch.consent); ``known`` loans have a compensation already.

    A loan is compensated once (claim.party): a second approval of it is skipped, and named.
    """
    fresh: dict[str, CompensationItem] = {}
    for item in approved.items:
        if item.loan_no not in known:
            fresh.setdefault(item.loan_no, item)
    skipped = tuple(item.loan_no for item in approved.items if item is not fresh.get(item.loan_no))
    if not fresh:
        return Accepted(duplicate=True)
    journal = Journal(fund, policy, today)
    why = policy.why("batch.consent", document_no=approved.document_no, items=str(len(fresh)))
    journal.add(
        made(
            ApprovalRecorded, on=today, fund=journal.figures, why=why, half=approved.half,
            consented_on=approved.consented_on, items=tuple(fresh.values()), skipped=skipped,
        )
    )
    return journal.accepted()


def decide_notice(
    fund: Fund | None, approvals: Sequence[Approval], command: IssuePayoutNotice, policy: PoolPolicy, today: date
) -> Decision:
    """Release everything consented and not yet released, in order, and free returned items (pool.notice, 三(六)).

    One notice a calendar year; another needs a reason, and a notice needs something to release.
    """
    journal = Journal(fund, policy, today)
    notices = [notice for notice in journal.fund.notices if notice.year == today.year]
    if any(notice.notice_no == command.notice_no for notice in journal.fund.notices):
        return Refusal("pool.notice", "number", {"notice_no": command.notice_no})
    reason = (command.reason or "").strip()
    if len(notices) >= policy.notices_per_year and not reason:
        return Refusal("pool.notice", "year", {"year": str(today.year), "notice_no": notices[-1].notice_no})
    items = released(approvals)
    returned = tuple(queued.item.number for queued in journal.fund.queue if queued.returned)
    if not items and not returned:
        return Refusal("pool.notice", "nothing")
    why = policy.why("pool.notice", year=str(today.year), before=str(len(notices)), items=str(len(items)))
    journal.add(
        made(
            PayoutNoticeIssued, on=today, fund=journal.figures, why=why, notice_no=command.notice_no, reason=reason,
            items=items, returned=returned,
        )
    )
    advance(journal)
    return journal.accepted()


def released(approvals: Sequence[Approval]) -> tuple[ReleasedItem, ...]:
    """All waiting compensations in payout order: consent date, then the order of the consent (batch.consent)."""
    consents = [(each.consented_on, approval.half, each) for approval in approvals for each in approval.waiting]
    return tuple(
        made(ReleasedItem, half=half, **item.__dict__)
        for _, half, consent in sorted(consents, key=lambda one: one[:2])
        for item in consent.items
    )
