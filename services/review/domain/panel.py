"""The joint review: seats, votes, ties, the veto and the district government's consent (scheme.md section 2)."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import date
from typing import Literal

from services.review.domain.agreements import Agreement, rank_all
from services.review.domain.cases import Case, HighQuota
from services.review.policy import ReviewPolicy
from shared.calendar import add_months
from shared.contracts.base import Event, Grade
from shared.contracts.commands import CastVote, ConsentHighRisk, DecideTie, OpenRatingRound, VetoEnterprise
from shared.contracts.review import (
    ConsentRefused,
    ConsentRequested,
    EnterpriseDeclined,
    EnterpriseRated,
    EnterpriseVetoed,
    HighSlotFreed,
    LeadDecisionRequired,
    RatingRoundOpened,
    RevoteOpened,
    TieDecided,
    VoteCast,
)
from shared.decisions import Accepted, Decision, Refusal

Agreements = Mapping[str, Agreement]
PANEL_KINDS = ("bank", "lender", "guarantor")
GRADES: tuple[Grade, ...] = ("high", "medium", "low", "decline")
VETOABLE = ("in_review", "awaiting_consent", "rated")
RULE_OF = {"majority": "panel.majority", "lead": "panel.tie", "consent": "grade.consent"}


def majority(votes: Collection[Grade], seats: int) -> Grade | None:
    """The grade that more than half of all seats voted for, or None (panel.majority, 三(三))."""
    return next((grade for grade, count in Counter(votes).items() if count * 2 > seats), None)


def leading(votes: Collection[Grade]) -> tuple[Grade, ...]:
    """The grades with the most votes, the highest risk first (panel.tie)."""
    tally = Counter(votes)
    return tuple(grade for grade in GRADES if tally[grade] == max(tally.values()))


def decide_round(
    case: Case | None, command: OpenRatingRound, agreements: Agreements, today: date, policy: ReviewPolicy
) -> Decision:
    """Call the panel together for an admitted case (eligible.attempts, eligible.bar, panel.seats; 三(三))."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    return (
        _exhausted(case, policy)
        or barred(case, today)
        or _not_admitted(case)
        or _wrong_seats(case, command.seats, agreements, today, policy)
        or Accepted((
            RatingRoundOpened(
                uscc=case.uscc,
                round=case.round + 1,
                seats=command.seats,
                opened_on=today,
                why=policy.why("panel.seats", seats=", ".join(command.seats)),
            ),
        ))
    )


def decide_vote(
    case: Case | None, command: CastVote, seat: str, agreements: Agreements, today: date, policy: ReviewPolicy
) -> Decision:
    """A seat votes; the last vote of a ballot brings its result (panel.seats, panel.majority, panel.tie)."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status != "in_review" or case.options:
        return Refusal("panel.seats", "closed", {"uscc": case.uscc, "status": case.status})
    if seat not in case.seats:
        return Refusal("permission", "seat", {"uscc": case.uscc, "seats": ", ".join(case.seats)})
    if seat in case.votes:
        return Refusal("panel.seats", "voted", {"uscc": case.uscc, "seat": seat, "grade": case.votes[seat]})
    cast = VoteCast(uscc=case.uscc, round=case.round, seat=seat, grade=command.grade, comment=command.comment)
    votes = [*case.votes.values(), command.grade]
    return Accepted((cast, *_count(case, votes, agreements, today, policy)))


def decide_tie(
    case: Case | None, command: DecideTie, agreements: Agreements, today: date, policy: ReviewPolicy
) -> Decision:
    """DRC decides among the leading options, only when two votes brought no majority (panel.tie, 三(三))."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status != "in_review" or not case.options:
        return Refusal("panel.tie", "not_required", {"uscc": case.uscc, "status": case.status})
    if command.grade not in case.options:
        return Refusal("panel.tie", "option", {"grade": command.grade, "options": ", ".join(case.options)})
    figures = {"options": ", ".join(case.options), "grade": command.grade}
    decided = TieDecided(
        uscc=case.uscc,
        round=case.round,
        grade=command.grade,
        reason=command.reason,
        why=policy.why("panel.tie", **figures),
    )
    return Accepted((decided, *_result(case, command.grade, "lead", agreements, today, policy, figures)))


def decide_veto(case: Case | None, command: VetoEnterprise, policy: ReviewPolicy) -> Decision:
    """DRC's veto, from the opening of a round until the case is pushed; the case ends (panel.veto, 三(三))."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status not in VETOABLE:
        return Refusal("panel.veto", "", {"uscc": case.uscc, "status": case.status})
    why = policy.why("panel.veto", status=case.status)
    return Accepted((EnterpriseVetoed(uscc=case.uscc, reason=command.reason, why=why), *freed_slot(case, policy)))


def decide_consent(
    case: Case | None,
    command: ConsentHighRisk,
    quota: HighQuota | None,
    agreements: Agreements,
    today: date,
    policy: ReviewPolicy,
) -> Decision:
    """The government consents to a high result, inside the year's quota, or refuses (grade.consent, 三(三))."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status != "awaiting_consent":
        return Refusal("grade.consent", "", {"uscc": case.uscc, "status": case.status})
    figures = {"document_no": command.document_no}
    if command.decision == "refuse":
        why = policy.why("grade.consent", **figures)
        return Accepted((ConsentRefused(uscc=case.uscc, document_no=command.document_no, why=why),))
    held = quota.enterprises if quota else ()
    if len(held) >= policy.grades_high_per_year:
        taken = {"year": str(today.year), "used": str(len(held)), "limit": str(policy.grades_high_per_year)}
        return Refusal("grade.high_quota", "", taken | {"enterprises": ", ".join(held)})
    figures |= {"year": str(today.year), "used": str(len(held) + 1), "limit": str(policy.grades_high_per_year)}
    return Accepted((_rated(case, "high", "consent", agreements, today, policy, figures),))


def barred(case: Case, today: date) -> Refusal | None:
    """The refusal while the enterprise or its legal representative is barred (eligible.bar, 四)."""
    if case.barred_until is None or case.barred_until < today:
        return None
    return Refusal("eligible.bar", "case", {"uscc": case.uscc, "until": case.barred_until.isoformat()})


def freed_slot(case: Case, policy: ReviewPolicy) -> tuple[Event, ...]:
    """The year's place given back, when a high rating ends without a loan (grade.high_quota)."""
    if case.quota_year is None:
        return ()
    why = policy.why("grade.high_quota", year=str(case.quota_year))
    return (HighSlotFreed(uscc=case.uscc, year=case.quota_year, why=why),)


def _exhausted(case: Case, policy: ReviewPolicy) -> Refusal | None:
    if case.failures < policy.financing_max_failures:
        return None
    return Refusal("eligible.attempts", "panel", {"uscc": case.uscc, "failures": str(case.failures)})


def _not_admitted(case: Case) -> Refusal | None:
    if case.status == "admitted":
        return None
    return Refusal("panel.seats", "status", {"uscc": case.uscc, "status": case.status})


def _wrong_seats(
    case: Case, seats: tuple[str, ...], agreements: Agreements, today: date, policy: ReviewPolicy
) -> Refusal | None:
    double = [seat for seat, count in Counter(seats).items() if count > 1]
    if double:
        return Refusal("panel.seats", "double", {"seats": ", ".join(double)})
    named = (seat for seat in policy.panel_required if seat not in PANEL_KINDS)
    required = [case.recommender if seat == "recommender" else seat for seat in named]
    missing = [seat for seat in dict.fromkeys(required) if seat not in seats]
    if missing:
        return Refusal("panel.seats", "missing", {"missing": ", ".join(missing)})
    others = [seat for seat in seats if seat not in required]
    invited = {seat: agreements[seat] for seat in others if seat in agreements}
    able = {seat for seat, signed in invited.items() if signed.kind in PANEL_KINDS and signed.valid_on(today)}
    if unfit := [seat for seat in others if seat not in able]:
        return Refusal("panel.seats", "unfit", {"seats": ", ".join(unfit)})
    kinds = {invited[seat].kind for seat in able}
    absent = next((kind for kind in PANEL_KINDS if kind in policy.panel_required and kind not in kinds), None)
    return Refusal("panel.seats", absent, {"seats": ", ".join(seats)}) if absent else None


def _count(
    case: Case, votes: list[Grade], agreements: Agreements, today: date, policy: ReviewPolicy
) -> tuple[Event, ...]:
    if len(votes) < len(case.seats):
        return ()
    tally: dict[str, int] = {grade: count for grade in GRADES if (count := votes.count(grade))}
    figures = {"seats": str(len(case.seats)), "votes": ", ".join(f"{grade} {count}" for grade, count in tally.items())}
    if grade := majority(votes, len(case.seats)):
        return _result(case, grade, "majority", agreements, today, policy, figures)
    why = policy.why("panel.tie", **figures)
    if case.ballot == 1:
        return (RevoteOpened(uscc=case.uscc, round=case.round, tally=tally, why=why),)
    return (LeadDecisionRequired(uscc=case.uscc, round=case.round, options=leading(votes), why=why),)


def _result(
    case: Case,
    grade: Grade,
    decided_by: Literal["majority", "lead"],
    agreements: Agreements,
    today: date,
    policy: ReviewPolicy,
    figures: dict[str, str],
) -> tuple[Event, ...]:
    why = policy.why(RULE_OF[decided_by], **figures)
    if grade == "decline":
        return (EnterpriseDeclined(uscc=case.uscc, round=case.round, why=why),)
    if grade == "high":
        return (ConsentRequested(uscc=case.uscc, round=case.round, ratio=policy.grades[grade], why=why),)
    return (_rated(case, grade, decided_by, agreements, today, policy, figures),)


def _rated(
    case: Case,
    grade: Grade,
    decided_by: Literal["majority", "lead", "consent"],
    agreements: Agreements,
    today: date,
    policy: ReviewPolicy,
    figures: dict[str, str],
) -> EnterpriseRated:
    """The rating: the ratio is pinned to the case, and for a high one the place in the consent date's year is taken."""
    valid = [agreement for agreement in agreements.values() if agreement.valid_on(today)]
    return EnterpriseRated(
        uscc=case.uscc,
        grade=grade,
        ratio=policy.grades[grade],
        round=case.round,
        decided_by=decided_by,
        rated_on=today,
        lapses_on=add_months(today, policy.grades_lifetime_months),
        quota_year=today.year if grade == "high" else None,
        preference=rank_all(valid, policy.push_preference),
        why=policy.why(RULE_OF[decided_by], **figures),
    )
