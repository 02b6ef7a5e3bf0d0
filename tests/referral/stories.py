"""The facts that the referral tests start from, and the fold of the events that follow."""

import json
from datetime import date

from services.referral.domain.bars import Bar, evolve_bar
from services.referral.domain.case import Case, case_keys, evolve_case
from services.referral.domain.findings import Surroundings, applicant_of, examine
from services.referral.domain.referring import decide_refer
from services.referral.policy import ReferralPolicy
from shared.contracts.base import Event, Finding
from shared.contracts.commands import ReferEnterprise
from shared.contracts.referral import LoanNoted
from shared.decisions import Accepted, Decision, Refusal
from shared.scheme.loader import load_scheme
from shared.scheme.refusals import sentences

POLICY = load_scheme("yanqing").policy(ReferralPolicy)
A, B, C, D = "91110119MA01ABC17J", "911101191000000164", "91110119MA7XK2Q34P", "93110119MA00NY013F"
TODAY = date(2026, 3, 2)
MATERIALS = ["business_licence", "premises_proof", "balance_sheet", "income_statement", "cash_flow_statement",
             "social_insurance", "tax"]


def person(number: str, name: str = "某人") -> dict[str, str]:
    """A person by number."""
    return {"name": name, "id": number}


def holder(share: str, *, uscc: str | None = None, person: str | None = None) -> dict[str, str]:
    """A shareholder: an enterprise or a person."""
    named = {"uscc": uscc} if uscc else {"id": person} if person else {}
    return {"name": uscc or person or "无名", "share": share, **named}


def referral(uscc: str = A, **changes: object) -> ReferEnterprise:
    """A referral that passes every rule; its controller and holder are a person of its own."""
    facts: dict[str, object] = {
        "uscc": uscc, "name": f"企业{uscc[-4:]}", "industry": "industrial", "sector": "other", "employees": 120,
        "revenue": "36000000.00", "assets": "20000000.00", "region": "110119", "registration": "active",
        "legal_representative": person(f"R-{uscc}"), "actual_controller": person(f"P-{uscc}"),
        "shareholders": [holder("1.00", person=f"P-{uscc}")], "project": "无人机批量生产", "need": "3000000.00",
        "purpose": "采购", "letter_no": "函〔2026〕1号", "materials": MATERIALS,
    }
    return ReferEnterprise.model_validate_json(json.dumps(facts | changes, ensure_ascii=False))


def refer(
    command: ReferEnterprise, *others: Case, case: Case | None = None, sender: str = "scitech", today: date = TODAY,
    bars: tuple[Bar, ...] = (), policy: ReferralPolicy = POLICY,
) -> Decision:
    """What the service answers to a referral among other cases."""
    return decide_refer(case, command, sender, Surroundings(others, bars), today, policy)


def referred(uscc: str = A, *others: Case, today: date = TODAY, **changes: object) -> Case:
    """A case that waits for screening."""
    return then(None, refer(referral(uscc, **changes), *others, today=today))


def financed(uscc: str = A, loan_no: str = "L-1", **changes: object) -> Case:
    """A case whose loan is covered."""
    return after(referred(uscc, **changes), LoanNoted(uscc=uscc, loan_no=loan_no))


def after(case: Case | None, *events: Event) -> Case:
    """The case after events of the service, as read back from its document."""
    for event in events:
        case = evolve_case(case, event)
    assert case is not None
    assert Case.model_validate_json(json.dumps(case.model_dump(mode="json"))) == case
    return case


def then(case: Case | None, decision: Decision) -> Case:
    """The case after an accepted decision, folded from events as they are read from the bus."""
    events = [event for event in accepted(decision) if case_keys(event)]
    return after(case, *(type(event).model_validate_json(event.model_dump_json()) for event in events))


def bar_after(decision: Decision) -> Bar:
    """The bar after an accepted decision."""
    bar: Bar | None = None
    for event in accepted(decision):
        bar = evolve_bar(bar, event)
    assert bar is not None
    return bar


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


def finding(rule: str, case: Case, *others: Case, today: date = TODAY, bars: tuple[Bar, ...] = ()) -> Finding:
    """One finding about a case among others."""
    found = examine(applicant_of(case), Surroundings(others, bars), today, POLICY)
    return next(one for one in found if one.rule == rule)
