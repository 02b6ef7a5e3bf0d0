"""Reports filed: what the scheme asks for and when it was done."""

from services.gateway.projections.tables import reports
from services.gateway.projections.writing import Projected
from shared.contracts import pool, recovery


async def report_filed(at: Projected, event: pool.ReportFiled | recovery.ReportFiled) -> None:
    """The first filing of a period's report counts."""
    await at.insert(
        reports, [{"kind": event.kind, "period": event.period, "organisation": event.by, "done_on": event.filed_on}]
    )
