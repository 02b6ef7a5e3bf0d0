"""The facts that the recovery tests start from, and the fold of the events that follow."""

import json
from datetime import date
from decimal import Decimal

from services.recovery.domain.recovery import Recovery, evolve_recovery, recovery_keys
from services.recovery.domain.sharing import decide_collect, decide_credit, decide_remit
from services.recovery.policy import RecoveryPolicy
from shared.contracts.base import Event
from shared.contracts.partners import RecoveryCollected
from shared.contracts.pool import CompensationSettled, FundsBooked
from shared.decisions import Accepted, Decision, Refusal
from shared.money import parse_yuan
from shared.scheme.loader import load_scheme
from shared.scheme.refusals import sentences

POLICY = load_scheme("yanqing").policy(RecoveryPolicy)
USCC, LOAN = "91110119MA01ABC17J", "A-0001"
OPENED, TODAY = date(2026, 7, 20), date(2026, 9, 2)


def settled(
    amount: str, disbursement_id: str = "D-1", verified: str = "2499999.99", **facts: object
) -> CompensationSettled:
    """The pool settled a compensation of the loan to bank-a."""
    return CompensationSettled.model_construct(
        uscc=USCC, loan_no=LOAN, disbursement_id=disbursement_id, amount=parse_yuan(amount), on=OPENED,
        verified_principal=parse_yuan(verified), ratio=Decimal("0.50"),
        **{"payee": "bank-a", "lender": "bank-a", "guarantor": None, **facts},
    )


def credit(recovery: Recovery | None, fact: CompensationSettled) -> Decision:
    """What follows from a settled compensation."""
    return decide_credit(recovery, fact, POLICY)


def opened(amount: str = "1250000.00", verified: str = "2499999.99", **facts: object) -> Recovery:
    """The recovery of a loan compensated with an amount of its verified principal."""
    return then(None, credit(None, settled(amount, verified=verified, **facts)))


def collect(
    recovery: Recovery | None, amount: str, on: date = TODAY, *, sender: str = "bank-a", costs: str | None = None,
    today: date = TODAY, policy: RecoveryPolicy = POLICY,
) -> Decision:
    """What follows when an institution reports a recovered amount."""
    fact = RecoveryCollected(loan_no=LOAN, amount=parse_yuan(amount), collected_on=on,
                             costs=parse_yuan(costs) if costs else None)
    return decide_collect(recovery, fact, sender, today, policy)


def book(recovery: Recovery | None, amount: str, purpose: str = "recovery", applied: str | None = None) -> Decision:
    """What follows when money for the loan was booked."""
    fact = FundsBooked.model_construct(
        purpose=purpose, uscc=USCC, loan_no=LOAN, amount=parse_yuan(amount), applied=parse_yuan(applied or amount),
        bank_ref="R-1", received_on=TODAY,
    )
    return decide_remit(recovery, fact, POLICY)


def then(recovery: Recovery | None, decision: Decision) -> Recovery:
    """The recovery after an accepted decision, folded from events and itself as they are read back."""
    for event in accepted(decision):
        assert recovery_keys(event) == (LOAN,)
        recovery = evolve_recovery(recovery, type(event).model_validate_json(event.model_dump_json()))
    assert recovery is not None
    assert Recovery.model_validate_json(json.dumps(recovery.model_dump(mode="json"))) == recovery
    return recovery


def accepted(decision: Decision) -> tuple[Event, ...]:
    """The events of a decision that must not be a refusal; each says why."""
    assert isinstance(decision, Accepted), decision
    assert all(event.why and event.why.clause for event in decision.events)
    return decision.events


def names(decision: Decision) -> list[str]:
    """The names of the events of an accepted decision."""
    return [type(event).__name__ for event in accepted(decision)]


def refused(decision: Decision, rule: str, reason: str = "") -> Refusal:
    """The refusal, which must have a sentence of its own."""
    assert isinstance(decision, Refusal), decision
    assert (decision.rule, decision.reason) == (rule, reason)
    assert (f"{rule}/{reason}" if reason else rule) in sentences()
    return decision
