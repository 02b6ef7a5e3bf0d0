"""What refuses a referral itself, and what a recommender may do with its own."""

from datetime import date

import pytest

from services.referral.domain.findings import Surroundings
from services.referral.domain.referring import decide_amend, decide_track, decide_withdraw
from shared.contracts.commands import AmendReferral, RecordTracking, WithdrawReferral
from shared.contracts.referral import EnterpriseAdmitted, EnterpriseReferred, ReferralClosed, ReferralReturned
from shared.decisions import Accepted
from tests.referral.stories import (
    POLICY,
    TODAY,
    A,
    B,
    accepted,
    after,
    financed,
    names,
    refer,
    referral,
    referred,
    refused,
    then,
)

NOWHERE = Surroundings()


def test_a_referral_is_recorded_with_its_size_and_every_finding() -> None:
    (event,) = accepted(refer(referral()))
    assert isinstance(event, EnterpriseReferred)
    assert (event.recommender, event.attempt, event.size, event.referred_on) == ("scitech", 1, "small", TODAY)
    assert [finding.rule for finding in event.findings] == [
        "eligible.registered", "eligible.project", "eligible.size", "eligible.clean_record", "eligible.need_cap",
        "eligible.materials", "eligible.once", "eligible.bar", "eligible.attempts", "priority.sector",
    ]
    assert all(finding.clause for finding in event.findings)


@pytest.mark.parametrize(("day", "reason"), [(date(2025, 12, 31), ""), (date(2029, 1, 1), "over")])
def test_a_referral_outside_the_term_is_refused(day: date, reason: str) -> None:
    refused(refer(referral(), today=day), "eligible.term", reason)


@pytest.mark.parametrize("day", [date(2026, 1, 1), date(2028, 12, 31)])
def test_the_first_and_the_last_day_of_the_term_are_inside(day: date) -> None:
    assert names(refer(referral(), today=day)) == ["EnterpriseReferred"]


def test_an_organisation_that_is_not_listed_does_not_refer() -> None:
    refused(refer(referral(), sender="bank-a"), "eligible.recommender")
    refused(refer(referral(), sender="drc"), "eligible.recommender")


def test_a_township_refers_too() -> None:
    assert names(refer(referral(), sender="badaling")) == ["EnterpriseReferred"]


def test_a_referral_without_a_letter_number_is_refused() -> None:
    refused(refer(referral(letter_no=" \n")), "eligible.recommender", "letter")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(A[:17], "length"), (A[:17] + "O", "characters"), (A[:17] + "K", "check"), ("91110119MA01ABC18M", "inner_check")],
)
def test_a_malformed_credit_code_is_refused(code: str, reason: str) -> None:
    refused(refer(referral(code)), "eligible.code", reason)


def test_another_districts_code_is_no_reason_to_refuse() -> None:
    assert names(refer(referral("911101085513859477"))) == ["EnterpriseReferred"]


def test_a_second_referral_of_an_open_case_is_refused_and_names_it() -> None:
    refusal = refused(refer(referral(), case=referred(), sender="commerce"), "eligible.open_case")
    assert refusal.figures == {
        "uscc": A, "name": "企业C17J", "status": "referred", "recommender": "scitech", "referred_on": "2026-03-02",
        "loan_no": "",
    }


def test_a_financed_case_counts_as_open_until_its_loan_has_ended() -> None:
    case = financed()
    refusal = refused(refer(referral(), case=case), "eligible.open_case", "financed")
    assert refusal.figures["loan_no"] == "L-1"
    ended = after(case, ReferralClosed(uscc=A, outcome="repaid"))
    again = then(ended, refer(referral(), case=ended))
    assert (again.attempt, again.status, again.loan_nos) == (2, "referred", ("L-1",))


def test_refusals_come_in_the_order_of_the_rules() -> None:
    bad = referral(A[:17], letter_no="")
    refused(refer(bad, sender="bank-a", today=date(2030, 1, 1)), "eligible.term", "over")
    refused(refer(bad, sender="bank-a"), "eligible.recommender")
    refused(refer(bad), "eligible.recommender", "letter")
    refused(refer(referral(A[:17]), case=referred()), "eligible.code", "length")


def test_an_amendment_makes_every_finding_anew_and_ends_a_return() -> None:
    case = after(referred(need="6000000.00"), ReferralReturned(uscc=A, reason="核减", findings=()))
    assert case.status == "returned"
    command = AmendReferral.model_validate_json(f'{{"uscc": "{A}", "need": "5000000.00"}}')
    amended = then(case, decide_amend(case, command, "scitech", NOWHERE, TODAY, POLICY))
    assert (amended.status, amended.application.need) == ("referred", 500_000_000)
    assert all(finding.result != "fail" for finding in amended.findings)
    assert amended.application.name == case.application.name


def test_only_the_recommender_amends_and_only_before_admission() -> None:
    case, command = referred(), AmendReferral(uscc=A, purpose="新用途")
    refused(decide_amend(case, command, "commerce", NOWHERE, TODAY, POLICY), "permission", "recommender")
    refused(decide_amend(None, command, "scitech", NOWHERE, TODAY, POLICY), "unknown", "case")
    admitted = after(case, _admitted())
    refused(decide_amend(admitted, command, "scitech", NOWHERE, TODAY, POLICY), "eligible.open_case", "not_amendable")


def test_an_amendment_must_change_something_that_can_be() -> None:
    case = referred()
    for changes, rule, reason in (
        ({}, "malformed", "no_change"),
        ({"employees": -1}, "malformed", "employees"),
        ({"letter_no": " "}, "eligible.recommender", "letter"),
    ):
        command = AmendReferral.model_validate({"uscc": A, **changes})
        refused(decide_amend(case, command, "scitech", NOWHERE, TODAY, POLICY), rule, reason)


def test_a_referral_is_withdrawn_by_its_recommender_until_a_loan_is_disbursed() -> None:
    command = WithdrawReferral(uscc=A, reason="企业撤回")
    admitted = after(referred(), _admitted())
    for case in (referred(), admitted):
        withdrawn = then(case, decide_withdraw(case, command, "scitech", POLICY))
        assert withdrawn.status == "withdrawn"
        assert names(refer(referral(), case=withdrawn)) == ["EnterpriseReferred"]
        refused(decide_withdraw(case, command, "commerce", POLICY), "permission", "recommender")
    refused(decide_withdraw(financed(), command, "scitech", POLICY), "eligible.open_case", "not_withdrawable")
    refused(decide_withdraw(None, command, "scitech", POLICY), "unknown", "case")


def test_the_recommender_tracks_and_an_anomaly_is_reported_at_once() -> None:
    case = financed()
    quiet = RecordTracking(uscc=A, note="走访正常", anomaly=False)
    assert names(decide_track(case, quiet, "scitech", TODAY, POLICY)) == ["TrackingRecorded"]
    loud = RecordTracking(uscc=A, note="停产", anomaly=True, kind="recovery_help")
    assert names(decide_track(case, loud, "scitech", TODAY, POLICY)) == ["TrackingRecorded", "AnomalyReported"]
    refused(decide_track(case, loud, "commerce", TODAY, POLICY), "permission", "recommender")
    refused(decide_track(None, loud, "scitech", TODAY, POLICY), "unknown", "case")


def test_a_refusal_changes_nothing_and_a_referral_answers_with_its_findings() -> None:
    decision = refer(referral(B))
    assert isinstance(decision, Accepted)
    assert (decision.result["uscc"], decision.result["status"]) == (B, "referred")
    findings = decision.result["findings"]
    assert isinstance(findings, list) and len(findings) == 10


def _admitted() -> EnterpriseAdmitted:
    case = referred()
    return EnterpriseAdmitted(
        uscc=A, name="甲", recommender="scitech", need=1, need_waived=False, sector="other", findings=(),
        legal_representative=case.application.legal_representative, affiliates=(), shareholders=(), admitted_on=TODAY,
    )
