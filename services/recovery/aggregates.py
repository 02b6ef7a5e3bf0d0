"""The things whose state the recovery service keeps, each with its table and its fold."""

from services.recovery import tables
from services.recovery.domain.recovery import Recovery, evolve_recovery, recovery_keys
from services.recovery.domain.reports import Report, evolve_report, report_keys
from shared.aggregates import Aggregate

RECOVERIES = Aggregate("recoveries", tables.recoveries, Recovery, evolve_recovery, recovery_keys)
REPORTS = Aggregate("reports", tables.reports, Report, evolve_report, report_keys)
