"""The custodian's statements are compared, never believed; it files its own reports, for periods that are over."""

from datetime import date

import pytest

from services.pool.domain.reports import decide_report
from shared.contracts.commands import FileReport
from shared.contracts.pool import ReportFiled
from shared.decisions import Decision
from tests.pool.world import DEFAULT, World, accepted, refused


def test_a_statement_that_agrees_is_reconciled() -> None:
    world = World()
    world.statement("30000000.00", world.today, ledger="30000000.00")
    assert world.happened == ["StatementReconciled"]


def test_a_difference_is_an_alarm_and_changes_no_figure() -> None:
    world = World()
    before = world.fund
    world.statement("29999999.99", world.today, ledger="30000000.00")
    [alarm] = world.of("StatementMismatch")
    assert (alarm.ledger - alarm.statement, alarm.why.figures["difference"]) == (1, "-0.01")
    assert world.fund.model_copy(update={"version": before.version}) == before


def test_a_statement_of_a_day_to_come_is_refused() -> None:
    assert refused(World().statement("0.00", date(2026, 12, 31), ledger="0.00")) == ("pool.reconcile", "future")


def file(kind: str, period: str, sender_kind: str = "custodian") -> Decision:
    command = FileReport.model_validate({"kind": kind, "period": period})
    return decide_report(command, "custodian", sender_kind, DEFAULT, date(2026, 7, 15))


def test_the_custodian_files_its_reports() -> None:
    [filed] = accepted(file("custodian_half_year", "2026H1")).events
    assert isinstance(filed, ReportFiled)
    assert (filed.period, filed.filed_on, filed.by) == ("2026H1", date(2026, 7, 15), "custodian")
    accepted(file("custodian_annual", "2025"))


def test_nobody_else_files_them_and_the_recovery_report_is_not_the_pools() -> None:
    assert refused(file("custodian_half_year", "2026H1", "drc")) == ("permission", "report")
    assert refused(file("recovery_half_year", "2026H1")) == ("permission", "report")


@pytest.mark.parametrize(("kind", "period"), [("custodian_half_year", "2026"), ("custodian_annual", "0000")])
def test_a_period_is_written_as_its_report_needs_it(kind: str, period: str) -> None:
    assert refused(file(kind, period)) == ("obligations", "period")


def test_a_period_that_is_not_over_has_no_report() -> None:
    assert refused(file("custodian_half_year", "2026H2")) == ("obligations", "early")
    assert refused(file("custodian_annual", "2026")) == ("obligations", "early")
