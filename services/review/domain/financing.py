"""Pushing a rated case to institutions, and how a round or a rating ends without a loan (scheme.md section 3)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Literal

from services.review.domain.agreements import Agreement, rank
from services.review.domain.cases import Case
from services.review.domain.panel import barred, freed_slot
from services.review.policy import ReviewPolicy
from shared.calendar import add_working_days
from shared.contracts.base import Event, Product
from shared.contracts.commands import PushFinancing
from shared.contracts.partners import FinancingDeclined
from shared.contracts.review import (
    FinancingExhausted,
    FinancingFailed,
    FinancingPushed,
    FinancingRefused,
    RatingLapsed,
)
from shared.decisions import Accepted, Decision, Refusal

LENDER_KINDS: Mapping[Product, tuple[str, ...]] = {
    "bank": ("bank",), "guarantee": ("bank", "lender"), "insurance": ("bank", "lender"),
}
PARTNER_KIND: Mapping[Product, str | None] = {"bank": None, "guarantee": "guarantor", "insurance": "insurer"}


def decide_push(
    case: Case | None,
    command: PushFinancing,
    agreements: Mapping[str, Agreement],
    group: Sequence[Case],
    today: date,
    policy: ReviewPolicy,
) -> Decision:
    """Push a rated case (push.rated, loan.product, eligible.once, eligible.bar; 三(四), 二(五)).

    ``group`` are the cases tied to this one; DRC chooses from the preference list that the event carries.
    """
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if case.status != "rated":
        return Refusal("push.rated", "", {"uscc": case.uscc, "status": case.status})
    chosen = {name: agreements[name] for name in command.institutions if name in agreements}
    return (
        _not_signed(command, chosen, today, policy)
        or _wrong_line_up(command, chosen.values())
        or _group_in_progress(case, group)
        or barred(case, today)
        or Accepted((_pushed(case, command, agreements, today, policy),))
    )


def decide_decline(case: Case | None, declined: FinancingDeclined, sender: str, policy: ReviewPolicy) -> Decision:
    """A recipient declines; when all have, the round has failed (push.failed, 三(四))."""
    if case is None or case.status != "pushed" or sender not in case.institutions:
        return Refusal("loan.pushed", "not_pushed", {"uscc": declined.uscc, "institution": sender})
    if sender in case.declined:
        return Accepted(duplicate=True)
    refused = FinancingRefused(uscc=case.uscc, institution=sender, reason=declined.reason)
    if {*case.declined, sender} < set(case.institutions):
        return Accepted((refused,))
    return Accepted((refused, *_failed(case, "declined", policy, declined=str(len(case.institutions)))))


def decide_day(cases: Iterable[Case], day: date, policy: ReviewPolicy) -> Accepted:
    """What a new day ends: pushes past their deadline (push.failed), ratings past their lifetime (grade.lifetime)."""
    events: list[Event] = []
    for case in cases:
        if case.status == "pushed" and case.deadline_on and case.deadline_on < day:
            events += _failed(case, "deadline", policy, deadline_on=case.deadline_on.isoformat())
        elif case.status in ("rated", "pushed") and case.rated_on and case.lapses_on and case.lapses_on < day:
            events += _lapsed(case, case.rated_on, case.lapses_on, policy)
    return Accepted(tuple(events))


def _not_signed(
    command: PushFinancing, chosen: Mapping[str, Agreement], today: date, policy: ReviewPolicy
) -> Refusal | None:
    """push.rated: each institution once, each with an agreement that counts today and names the product."""
    double = [name for name, count in Counter(command.institutions).items() if count > 1]
    if double or not command.institutions:
        return Refusal("push.rated", "double" if double else "nobody", {"institutions": ", ".join(double)})
    product = command.product
    valid = {name for name, signed in chosen.items() if signed.valid_on(today) and product in signed.products}
    if without := [name for name in command.institutions if name not in valid]:
        return Refusal("push.rated", "agreement", {"institutions": ", ".join(without), "product": product})
    if product not in policy.products:
        return Refusal("loan.product", "offered", {"product": product, "products": ", ".join(policy.products)})
    return None


def _wrong_line_up(command: PushFinancing, chosen: Iterable[Agreement]) -> Refusal | None:
    """loan.product: a lender that the product allows, and the guarantor or insurer that it needs; nobody else."""
    lenders, partner = LENDER_KINDS[command.product], PARTNER_KIND[command.product]
    kinds = {signed.institution: signed.kind for signed in chosen}
    figures = {"product": command.product, "institutions": ", ".join(command.institutions)}
    if useless := [name for name, kind in kinds.items() if kind not in lenders and kind != partner]:
        return Refusal("loan.product", "role", figures | {"institutions": ", ".join(useless)})
    if not any(kind in lenders for kind in kinds.values()):
        return Refusal("loan.product", "lender", figures)
    if partner and partner not in kinds.values():
        return Refusal("loan.product", partner, figures)
    return None


def _group_in_progress(case: Case, group: Sequence[Case]) -> Refusal | None:
    """eligible.once (二(一)): not while an enterprise whose loan would shut this one out is pushed or financed."""
    rival = next((o for o in group if case.yields_to(o) and o.status in ("pushed", "financed")), None)
    if rival is None:
        return None
    figures = {"uscc": case.uscc, "other": rival.uscc, "other_name": rival.name, "status": rival.status}
    return Refusal("eligible.once", rival.status, figures)


def _pushed(
    case: Case, command: PushFinancing, agreements: Mapping[str, Agreement], today: date, policy: ReviewPolicy
) -> FinancingPushed:
    deadline = add_working_days(today, policy.financing_deadline_working_days)
    valid = [signed for signed in agreements.values() if signed.valid_on(today)]
    return FinancingPushed(
        uscc=case.uscc,
        product=command.product,
        institutions=command.institutions,
        pushed_on=today,
        deadline_on=deadline.date,
        provisional=deadline.provisional,
        preference=rank(valid, command.product, policy.push_preference),
        why=policy.why(
            "push.rated",
            working_days=str(policy.financing_deadline_working_days),
            deadline_on=deadline.date.isoformat(),
            preference=", ".join(policy.push_preference),
        ),
    )


def _failed(
    case: Case, cause: Literal["declined", "deadline"], policy: ReviewPolicy, **figures: str
) -> tuple[Event, ...]:
    """The first failures send the case back to the panel, the last allowed one exhausts it (push.failed)."""
    failures, limit = case.failures + 1, policy.financing_max_failures
    why = policy.why("push.failed", failures=str(failures), limit=str(limit), **figures)
    failed = FinancingFailed(uscc=case.uscc, failures=failures, cause=cause, why=why)
    if failures < limit:
        return (failed, *freed_slot(case, policy))
    ends = policy.why("eligible.attempts", failures=str(failures), limit=str(limit))
    return (failed, *freed_slot(case, policy), FinancingExhausted(uscc=case.uscc, failures=failures, why=ends))


def _lapsed(case: Case, rated_on: date, lapses_on: date, policy: ReviewPolicy) -> tuple[Event, ...]:
    months = str(policy.grades_lifetime_months)
    why = policy.why("grade.lifetime", months=months, rated_on=rated_on.isoformat(), lapsed_on=lapses_on.isoformat())
    return (RatingLapsed(uscc=case.uscc, rated_on=rated_on, why=why), *freed_slot(case, policy))
