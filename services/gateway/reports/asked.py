"""What is asked for: a kind of report of one period, of one organisation where it has one, in one language."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.gateway.reports.history import History
from services.gateway.reports.period import Period
from services.gateway.reports.report import Bars, Check, Curve, Report, Source, Table
from services.gateway.reports.wording import Wording
from shared.clock import business_date
from shared.scheme.loader import Scheme
from shared.scheme.refusals import Language


@dataclass(frozen=True)
class Asked:
    """One report; ``ends_at`` is the position of the last event in it, so that it can be made again."""

    kind: str
    period: Period
    organisation: str
    language: Language
    scheme: Scheme
    ends_at: int

    @property
    def name(self) -> str:
        """Its file name without the format: kind, period, whose, language, scheme version, last event."""
        whose = f"-{self.organisation}" if self.organisation else ""
        version = self.scheme.version[:8]
        return f"{self.kind}-{self.period.text}{whose}-{self.language}-v{version}-e{self.ends_at}"

    def until(self, history: History) -> date:
        """The last day that the report can speak of."""
        return max(min(self.period.end, business_date(history.last_at)), self.period.begin)

    def report(
        self,
        history: History,
        words: Wording,
        *,
        title: str,
        office: str,
        addressee: str,
        paragraphs: Sequence[str],
        tables: Sequence[Table],
        checks: Sequence[Check],
        chart: Curve | Bars | None = None,
        number: str = "",
        closing: str = "",
    ) -> Report:
        """The report with what all of them say: whether the period has ended, and what it was made from."""
        last_on = business_date(history.last_at)
        open_note = words("报告期尚未结束，数据截至%(day)s。", day=words.date(last_on))
        notes = [open_note] if last_on < self.period.end else []
        source = Source(self.scheme.id, self.scheme.version, history.ends_at, history.last_event, history.last_at)
        return Report(
            name=self.name, title=title, office=office, number=number, addressee=addressee,
            paragraphs=(*paragraphs, *notes), closing=closing, tables=tuple(tables),
            chart=chart, checks=tuple(checks),
            signed_on=last_on, source=source,
        )  # fmt: skip
