"""What the referral service does on each message: load, decide; the unit of work records and announces."""

from services.referral.aggregates import BARS, CASES, DEPARTMENT_YEARS
from services.referral.domain.bars import decide_bar
from services.referral.domain.case import Case
from services.referral.domain.departments import decide_count, department_key
from services.referral.domain.outcomes import (
    decide_closed,
    decide_covered,
    decide_end,
    decide_exhausted,
    decide_failed,
    decide_recovered,
    decide_repaid,
    misses_loan,
)
from services.referral.domain.referring import (
    amendments,
    application_of,
    decide_amend,
    decide_refer,
    decide_track,
    decide_withdraw,
)
from services.referral.domain.screening import decide_note, decide_screen
from services.referral.policy import ReferralPolicy
from services.referral.queries import amended_surroundings, surroundings
from shared.contracts import commands, pool, recovery, review
from shared.decisions import Decision
from shared.messaging.unit_of_work import NotYet, UnitOfWork


async def refer_enterprise(uow: UnitOfWork, command: commands.ReferEnterprise) -> Decision:
    """ReferEnterprise."""
    case = await uow.load(CASES, command.uscc)
    around = await surroundings(uow, command.uscc, application_of(command))
    return decide_refer(case, command, uow.sender, around, uow.today, uow.policy(ReferralPolicy))


async def amend_referral(uow: UnitOfWork, command: commands.AmendReferral) -> Decision:
    """AmendReferral."""
    case = await uow.load(CASES, command.uscc)
    around = await amended_surroundings(uow, case, amendments(command))
    return decide_amend(case, command, uow.sender, around, uow.today, uow.policy(ReferralPolicy))


async def withdraw_referral(uow: UnitOfWork, command: commands.WithdrawReferral) -> Decision:
    """WithdrawReferral."""
    return decide_withdraw(await uow.load(CASES, command.uscc), command, uow.sender, uow.policy(ReferralPolicy))


async def record_finding(uow: UnitOfWork, command: commands.RecordFinding) -> Decision:
    """RecordFinding."""
    case = await uow.load(CASES, command.uscc)
    return decide_note(case, command, uow.sender, uow.today, uow.policy(ReferralPolicy))


async def screen_referral(uow: UnitOfWork, command: commands.ScreenReferral) -> Decision:
    """ScreenReferral."""
    case = await uow.load(CASES, command.uscc)
    around = await amended_surroundings(uow, case, {})
    return decide_screen(case, command, around, uow.today, uow.policy(ReferralPolicy))


async def bar_enterprise(uow: UnitOfWork, command: commands.BarEnterprise) -> Decision:
    """BarEnterprise."""
    case, bar = await uow.load(CASES, command.uscc), await uow.load(BARS, command.uscc)
    return decide_bar(case, bar, command, uow.today, uow.policy(ReferralPolicy))


async def record_tracking(uow: UnitOfWork, command: commands.RecordTracking) -> Decision:
    """RecordTracking."""
    case = await uow.load(CASES, command.uscc)
    return decide_track(case, command, uow.sender, uow.today, uow.policy(ReferralPolicy))


async def note_failure(uow: UnitOfWork, event: review.FinancingFailed) -> Decision:
    """A financing failed."""
    return decide_failed(await uow.load(CASES, event.uscc), event, uow.policy(ReferralPolicy))


async def end_exhausted(uow: UnitOfWork, event: review.FinancingExhausted) -> Decision:
    """Financing failed as often as the scheme allows."""
    return decide_exhausted(await uow.load(CASES, event.uscc), event, uow.policy(ReferralPolicy))


async def end_declined(uow: UnitOfWork, event: review.EnterpriseDeclined) -> Decision:
    """The panel declined."""
    return decide_end(await uow.load(CASES, event.uscc), "declined", "panel.majority", uow.policy(ReferralPolicy))


async def end_vetoed(uow: UnitOfWork, event: review.EnterpriseVetoed) -> Decision:
    """DRC vetoed."""
    return decide_end(await uow.load(CASES, event.uscc), "vetoed", "panel.veto", uow.policy(ReferralPolicy))


async def end_closed(uow: UnitOfWork, event: review.CaseClosed) -> Decision:
    """Review closed the case."""
    return decide_closed(await uow.load(CASES, event.uscc), event, uow.policy(ReferralPolicy))


async def note_loan(uow: UnitOfWork, event: review.LoanCovered) -> Decision:
    """A loan was covered."""
    case = await uow.load(CASES, event.uscc)
    around = await amended_surroundings(uow, case, {})
    return decide_covered(case, event, around, uow.policy(ReferralPolicy))


async def end_repaid(uow: UnitOfWork, event: review.PrincipalRepaid) -> Decision:
    """Principal was repaid; with nothing left the case ends."""
    return decide_repaid(await _financed(uow, event.uscc, event.loan_no), event, uow.policy(ReferralPolicy))


async def end_recovered(uow: UnitOfWork, event: recovery.RecoveryClosed) -> Decision:
    """The pool has back what it paid."""
    return decide_recovered(await _financed(uow, event.uscc, event.loan_no), uow.policy(ReferralPolicy))


async def _financed(uow: UnitOfWork, uscc: str, loan_no: str) -> Case | None:
    case = await uow.load(CASES, uscc)
    if misses_loan(case, loan_no):
        raise NotYet(f"loan {loan_no} of {uscc} is not noted yet")
    return case


async def count_compensation(uow: UnitOfWork, event: pool.CompensationSettled) -> Decision:
    """A compensation was settled: it counts for its recommender's year."""
    year = await uow.load(DEPARTMENT_YEARS, department_key(event.recommender, event.on.year))
    return decide_count(year, event, uow.policy(ReferralPolicy))
