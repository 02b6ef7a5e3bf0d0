"""Write-offs: the ground, the two approvals, the amount; and DRC's half-yearly report."""

from datetime import date

import pytest

from services.recovery.domain.recovery import Recovery
from services.recovery.domain.reports import Report, decide_file, evolve_report
from services.recovery.domain.writeoffs import decide_approve, decide_propose
from shared.contracts.commands import ApproveWriteOff, FileReport
from shared.contracts.partners import WriteOffProposed
from shared.contracts.recovery import WriteOffApproved
from shared.decisions import Accepted, Decision
from shared.money import parse_yuan
from tests.recovery.stories import LOAN, POLICY, TODAY, accepted, book, collect, names, opened, refused, then


def propose(
    recovery: Recovery | None, ground: str = "execution_terminated", ruling_no: str = "执1号", *,
    sender: str = "bank-a", on: date = TODAY,
) -> Decision:
    fact = WriteOffProposed(loan_no=LOAN, ground=ground, ruling_no=ruling_no, ruled_on=on)
    return decide_propose(recovery, fact, sender, TODAY, POLICY)


def approve(recovery: Recovery | None, by: str, decision: str = "approve") -> Decision:
    command = ApproveWriteOff.model_validate({"loan_no": LOAN, "decision": decision, "reason": "尚有财产"})
    return decide_approve(recovery, command, by, POLICY)


def recovered() -> Recovery:
    recovery = then(opened(), collect(opened(), "1000000.00"))
    return then(recovery, collect(recovery, "333333.33"))


def test_two_units_approve_and_the_net_loss_is_written_off() -> None:
    recovery = then(recovered(), propose(recovered()))
    first = approve(recovery, "drc")
    assert names(first) == ["WriteOffApproval"]
    recovery = then(recovery, first)
    refused(approve(recovery, "drc"), "writeoff.approval", "same_unit")
    second = approve(recovery, "finance")
    assert names(second) == ["WriteOffApproval", "WriteOffApproved"]
    written_off = accepted(second)[1]
    assert isinstance(written_off, WriteOffApproved) and written_off.amount == parse_yuan("583333.33")
    recovery = then(recovery, second)
    assert (recovery.written_off_fen, recovery.proposal, recovery.status) == (58_333_333, None, "open")


def test_later_recoveries_of_a_written_off_loan_are_still_shared() -> None:
    recovery = then(recovered(), propose(recovered()))
    recovery = then(recovery, approve(recovery, "finance"))
    recovery = then(recovery, approve(recovery, "drc"))
    after = then(recovery, collect(recovery, "2.00"))
    assert (after.pool_share_fen - recovery.pool_share_fen, after.written_off_fen) == (100, 58_333_333)


def test_a_clawback_lowers_what_is_written_off() -> None:
    recovery = then(recovered(), book(recovered(), "83333.33", "clawback"))
    recovery = then(recovery, propose(recovery))
    recovery = then(recovery, approve(recovery, "drc"))
    assert then(recovery, approve(recovery, "finance")).written_off_fen == 50_000_000


@pytest.mark.parametrize(
    ("ground", "reason"),
    [("execution_suspended", "suspended"), ("终结本次执行程序", "suspended"), ("borrower_left", "")],
)
def test_only_the_rulings_of_the_scheme_are_a_ground(ground: str, reason: str) -> None:
    refused(propose(opened(), ground), "writeoff.ground", reason)


def test_bankruptcy_is_a_ground_and_a_ruling_of_tomorrow_is_none() -> None:
    assert names(propose(opened(), "bankruptcy")) == ["WriteOffRequested"]
    refused(propose(opened(), on=date(2026, 9, 3)), "writeoff.ground", "future")


def test_only_an_institution_of_the_loan_proposes() -> None:
    refused(propose(None), "unknown", "loan")
    refused(propose(opened(), sender="bank-b"), "permission", "recovery_party")


def test_a_pending_proposal_is_taken_once_and_another_one_waits() -> None:
    recovery = then(opened(), propose(opened()))
    again = propose(recovery)
    assert isinstance(again, Accepted) and again.duplicate
    refused(propose(recovery, ruling_no="执2号"), "writeoff.approval", "pending")


def test_what_is_written_off_is_not_written_off_again_and_no_loss_is_none() -> None:
    recovery = then(opened(), propose(opened()))
    for unit in ("drc", "finance"):
        recovery = then(recovery, approve(recovery, unit))
    refused(propose(recovery), "writeoff.approval", "done")
    whole = then(opened("500.00", verified="500.00"), collect(opened("500.00", verified="500.00"), "500.00"))
    refused(propose(whole), "writeoff.approval", "no_loss")


def test_a_loss_that_was_recovered_before_the_approval_is_not_written_off() -> None:
    recovery = opened("500.00", verified="500.00")
    recovery = then(recovery, propose(recovery))
    recovery = then(recovery, collect(recovery, "500.00"))
    refused(approve(recovery, "drc"), "writeoff.approval", "no_loss")
    assert names(approve(recovery, "drc", "refuse")) == ["WriteOffRefused"]


def test_one_refusal_ends_the_proposal_and_it_may_be_proposed_again() -> None:
    recovery = then(opened(), propose(opened()))
    recovery = then(recovery, approve(recovery, "drc"))
    recovery = then(recovery, approve(recovery, "finance", "refuse"))
    assert recovery.proposal is None and recovery.written_off_fen == 0
    refused(approve(recovery, "drc"), "writeoff.approval", "no_proposal")
    assert names(approve(then(recovery, propose(recovery)), "drc")) == ["WriteOffApproval"]


def test_nothing_is_approved_without_a_proposal_or_a_loan() -> None:
    refused(approve(opened(), "drc"), "writeoff.approval", "no_proposal")
    refused(approve(None, "drc"), "unknown", "loan")


def file(period: str, kind: str = "drc", report: Report | None = None) -> Decision:
    command = FileReport(kind="recovery_half_year", period=period, document="报告")
    return decide_file(report, command, "drc", kind, TODAY, POLICY)


def test_drc_files_one_recovery_report_a_half_year() -> None:
    decision = file("2026H1")
    assert names(decision) == ["ReportFiled"]
    report = evolve_report(None, accepted(decision)[0])
    again = file("2026H1", report=report)
    assert isinstance(again, Accepted) and again.duplicate
    refused(file("2026H1", "custodian"), "permission", "recovery_report")
    refused(file("2027H1"), "report.recovery", "future")
    for period in ("2026", "2026H3", "2026h1", "2026H1 "):
        refused(file(period), "malformed", "recovery_period")
