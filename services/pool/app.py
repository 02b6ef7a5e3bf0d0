"""The pool service put together: what it keeps, what it answers and what it listens to."""

from services.pool import handlers, signing
from services.pool.journal import JournalRows
from services.pool.store import AGGREGATES
from shared.contracts.commands import ApproveFee, FileReport, InjectCapital, IssuePayoutNotice
from shared.contracts.gateway import BusinessDayStarted
from shared.contracts.partners import FundsReceived, IncomeCredited, StatementIssued, TransferReturned, TransferSettled
from shared.contracts.recovery import WriteOffApproved
from shared.contracts.review import CompensationApproved, SubsidyApproved
from shared.messaging.service import Service

SERVICE = Service(
    name="pool",
    aggregates=AGGREGATES,
    commands={
        InjectCapital: handlers.inject_capital,
        IssuePayoutNotice: handlers.issue_payout_notice,
        ApproveFee: handlers.approve_fee,
        FileReport: handlers.file_report,
    },
    partner_events={
        TransferSettled: handlers.settle_transfer,
        TransferReturned: handlers.take_back_transfer,
        FundsReceived: handlers.book_funds,
        IncomeCredited: handlers.book_income,
        StatementIssued: handlers.reconcile_statement,
    },
    events={
        CompensationApproved: handlers.record_approval,
        SubsidyApproved: handlers.pay_subsidy,
        WriteOffApproved: handlers.book_write_off,
        BusinessDayStarted: handlers.close_half_years,
    },
    rows=JournalRows,
)
signing.check()
app = SERVICE.asgi()
