"""DRC's half-yearly report on recoveries to the district government (report.recovery, 三(七))."""

import re
from datetime import date

from services.recovery.policy import RecoveryPolicy
from shared.calendar import half_of
from shared.contracts.base import Day, Event, Shape
from shared.contracts.commands import FileReport
from shared.contracts.recovery import ReportFiled
from shared.decisions import Accepted, Decision, Refusal

_HALF = re.compile(r"[0-9]{4}H[12]", re.ASCII)


class Report(Shape):
    """A filed report of one half-year."""

    kind: str
    period: str
    by: str
    filed_on: Day
    document: str | None = None


def report_keys(event: Event) -> tuple[str, ...]:
    """The half-year whose report an event files."""
    return (event.period,) if isinstance(event, ReportFiled) else ()


def evolve_report(state: Report | None, event: Event) -> Report | None:
    """The report after one of the service's own events."""
    if not isinstance(event, ReportFiled):
        return state
    return Report(kind=event.kind, period=event.period, by=event.by, filed_on=event.filed_on, document=event.document)


def decide_file(
    report: Report | None, command: FileReport, sender: str, sender_kind: str, today: date, policy: RecoveryPolicy
) -> Decision:
    """report.recovery (三(七)): DRC files one report a half-year, for a half that has begun."""
    if sender_kind != "drc":
        return Refusal("permission", "recovery_report", {"sender": sender})
    if not _HALF.fullmatch(command.period):
        return Refusal("malformed", "recovery_period", {"period": command.period})
    if command.period > half_of(today):
        return Refusal("report.recovery", "future", {"period": command.period, "today": today.isoformat()})
    if report:
        return Accepted(duplicate=True)
    filed = ReportFiled(kind=command.kind, period=command.period, by=sender, filed_on=today, document=command.document,
                        why=policy.why("report.recovery", period=command.period))
    return Accepted((filed,))
