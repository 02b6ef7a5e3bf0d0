"""DRC's decision at screening: past no failed rule, except the one that it may waive with a reason."""

import pytest

from services.referral.domain.case import Case
from services.referral.domain.findings import Surroundings
from services.referral.domain.screening import decide_screen
from services.referral.policy import ReferralPolicy
from shared.contracts.commands import ScreenReferral, Waiver
from shared.contracts.referral import EnterpriseAdmitted
from shared.decisions import Decision
from tests.referral.stories import (
    POLICY,
    TODAY,
    A,
    B,
    C,
    D,
    accepted,
    financed,
    holder,
    names,
    person,
    referred,
    refused,
    then,
)


def screen(
    case: Case | None, decision: str, *others: Case, reason: str | None = None,
    waivers: tuple[tuple[str, str], ...] = (),
    policy: ReferralPolicy = POLICY,
) -> Decision:
    command = ScreenReferral.model_validate({
        "uscc": A, "decision": decision, "reason": reason,
        "waivers": tuple(Waiver(rule=rule, reason=why) for rule, why in waivers),
    })
    return decide_screen(case, command, Surroundings(others), TODAY, policy)


def test_an_admission_carries_the_need_the_group_and_the_findings() -> None:
    case = referred(shareholders=[holder("0.30", uscc=B), holder("0.10", uscc=C), holder("0.60", person="X")])
    owned = referred(D, shareholders=[holder("0.10", uscc=A), holder("0.90", person="Y")])
    (event,) = accepted(screen(case, "admit", referred(B), referred(C), owned))
    assert isinstance(event, EnterpriseAdmitted)
    assert (event.affiliates, event.shareholders) == ((B,), (B, C))
    assert (event.need, event.need_waived, event.recommender) == (300_000_000, False, "scitech")
    assert len(event.findings) == 10
    assert then(case, screen(case, "admit")).status == "admitted"


@pytest.mark.parametrize(
    ("facts", "rule", "reason"),
    [
        ({"region": "110108"}, "eligible.registered", ""),
        ({"registration": "other"}, "eligible.registered", "status"),
        ({"project": ""}, "eligible.project", ""),
        ({"employees": 5000, "revenue": "900000000.00"}, "eligible.size", ""),
        ({"employees": None}, "eligible.size", "missing"),
        ({"industry": "x"}, "eligible.size", "industry"),
        ({"adverse_records": [{"party": "enterprise", "kind": "失信", "date": "2026-01-01"}]},
         "eligible.clean_record", ""),
        ({"need": "5000000.01"}, "eligible.need_cap", ""),
        ({"materials": []}, "eligible.materials", ""),
        ({"actual_controller": person("X")}, "eligible.once", ""),
    ],
)
def test_no_admission_past_a_failed_rule(facts: dict[str, object], rule: str, reason: str) -> None:
    refusal = refused(screen(referred(**facts), "admit", financed(B, actual_controller=person("X"))), rule, reason)
    assert len(refusal.findings) == 10


def test_the_first_failing_rule_names_the_refusal_and_all_findings_come_with_it() -> None:
    case = referred(materials=[], project="", need="9000000.00")
    refusal = refused(screen(case, "admit"), "eligible.project")
    failed = [finding.rule for finding in refusal.findings if finding.result == "fail"]
    assert failed == ["eligible.project", "eligible.need_cap", "eligible.materials"]


def test_the_need_cap_is_waived_with_a_reason() -> None:
    case = referred(need="6000000.00")
    (event,) = accepted(screen(case, "admit", waivers=(("eligible.need_cap", "重点项目"),)))
    assert isinstance(event, EnterpriseAdmitted)
    assert (event.need, event.need_waived) == (600_000_000, True)
    waived = next(finding for finding in event.findings if finding.rule == "eligible.need_cap")
    assert (waived.result, waived.figures["waiver"]) == ("waived", "重点项目")


def test_a_waiver_without_need_changes_nothing() -> None:
    (event,) = accepted(screen(referred(), "admit", waivers=(("eligible.need_cap", "无"),)))
    assert isinstance(event, EnterpriseAdmitted) and not event.need_waived


def test_no_other_rule_is_waivable() -> None:
    case = referred(materials=[])
    refused(screen(case, "admit", waivers=(("eligible.materials", "补交"),)), "eligible.materials", "not_waivable")
    strict = POLICY.model_copy(update={"need_cap_principle": False})
    big = referred(need="6000000.00")
    waivers = (("eligible.need_cap", "重点项目"),)
    refused(screen(big, "admit", waivers=waivers, policy=strict), "eligible.need_cap", "not_waivable")
    refused(screen(case, "admit", waivers=(("no.such", "x"),)), "malformed", "waiver_rule")
    refused(screen(big, "admit", waivers=(("eligible.need_cap", " "),)), "malformed", "waiver_reason")


@pytest.mark.parametrize(("decision", "status"), [("return", "returned"), ("refuse", "refused")])
def test_a_return_or_refusal_needs_a_reason(decision: str, status: str) -> None:
    case = referred(materials=[])
    refused(screen(case, decision), "malformed", "screening_reason")
    refused(screen(case, decision, reason="  "), "malformed", "screening_reason")
    after = then(case, screen(case, decision, reason="资料不全"))
    assert (after.status, after.is_open) == (status, status == "returned")


def test_only_a_referral_in_screening_is_screened() -> None:
    refused(screen(None, "admit"), "unknown", "case")
    refused(screen(financed(), "admit"), "eligible.open_case", "not_screening")
    case = referred()
    returned = then(case, screen(case, "return", reason="补充"))
    assert names(screen(returned, "admit")) == ["EnterpriseAdmitted"]
    refused(screen(then(case, screen(case, "admit")), "refuse", reason="x"), "eligible.open_case", "not_screening")
