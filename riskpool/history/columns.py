"""The columns of a history: the kinds of row, what each says, and the message of the contract that it becomes."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.pool import handlers
from shared.contracts.base import Message
from shared.contracts.commands import ApproveFee, InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived, IncomeCredited, StatementIssued, TransferReturned, TransferSettled
from shared.contracts.recovery import WriteOffApproved
from shared.contracts.review import CompensationApproved, SubsidyApproved

Cells = Mapping[str, str]
CONSENT = ("half", "consented_on", "document_no")
ITEM = ("loan_no", "uscc", "payee", "lender", "guarantor", "guarantor_share", "recommender", "verified_principal",
        "ratio", "reduction", "amount")  # fmt: skip
PAID = ("disbursement_id", "loan_no", "policy_no", "year")
FUNDS = ("loan_no", "amount", "bank_ref", "received_on")


@dataclass(frozen=True)
class Kind:
    """A kind of row: its message, who decides on it, the columns it may fill, and the column that its date stands for.

    ``sender`` is whose message it is where the row names nobody in ``by``.
    """

    message: type[Message]
    handler: Callable[..., Awaitable[Any]]
    columns: tuple[str, ...]
    dated: str = ""
    sender: str = "custodian"


KINDS = {
    "capital": Kind(InjectCapital, handlers.inject_capital, ("source", "amount", "bank_ref"), sender="finance"),
    "approval": Kind(CompensationApproved, handlers.record_approval, (*CONSENT, *ITEM), "consented_on", "review"),
    "notice": Kind(IssuePayoutNotice, handlers.issue_payout_notice, ("notice_no", "reason"), sender="drc"),
    "settled": Kind(TransferSettled, handlers.settle_transfer, (*PAID, "bank_ref", "settled_on"), "settled_on"),
    "returned": Kind(TransferReturned, handlers.take_back_transfer, (*PAID, "reason")),
    "recovery": Kind(FundsReceived, handlers.book_funds, FUNDS, "received_on"),
    "clawback": Kind(FundsReceived, handlers.book_funds, FUNDS, "received_on"),
    "other": Kind(FundsReceived, handlers.book_funds, FUNDS, "received_on"),
    "income": Kind(IncomeCredited, handlers.book_income, ("amount", "period", "bank_ref", "by")),
    "subsidy": Kind(
        SubsidyApproved, handlers.pay_subsidy, ("uscc", "loan_no", "policy_no", "amount", "approved_on"), "approved_on",
        "review",
    ),
    "fee": Kind(ApproveFee, handlers.approve_fee, ("year", "rate", "by"), sender=""),
    "write_off": Kind(WriteOffApproved, handlers.book_write_off, ("uscc", "loan_no", "amount"), sender="recovery"),
    "statement": Kind(StatementIssued, handlers.reconcile_statement, ("as_of", "balance"), "as_of"),
}  # fmt: skip
COLUMNS = ("date", "kind", *dict.fromkeys(column for kind in KINDS.values() for column in kind.columns))


def message_of(name: str, day: str, rows: Sequence[Cells]) -> Message:
    """The message of a row; approvals of one consent are one message. ValidationError says what is wrong with it."""
    kind = KINDS[name]
    fields: dict[str, Any] = dict(rows[0])
    if kind.dated:
        fields.setdefault(kind.dated, day)
    if name == "approval":
        fields = {column: fields[column] for column in CONSENT if column in fields}
        fields["items"] = [{column: row[column] for column in ITEM if column in row} for row in rows]
    if name in ("recovery", "clawback", "other"):
        fields["purpose"] = name
    if "year" in fields and fields["year"].isdecimal():
        fields["year"] = int(fields["year"])
    return kind.message.model_validate_json(json.dumps(fields))


_EXAMPLE: tuple[dict[str, str], ...] = (
    {"date": "2025-01-06", "kind": "capital", "source": "policy_fund", "amount": "15000000.00", "bank_ref": "C-1"},
    {"date": "2025-06-20", "kind": "approval", "half": "2025H1", "document_no": "2025-1", "loan_no": "L-1",
     "uscc": "91110119MA01ABC17J", "payee": "bank-a", "lender": "bank-a", "recommender": "scitech",
     "verified_principal": "2000000.00", "ratio": "0.50", "reduction": "0.00", "amount": "1000000.00"},
    {"date": "2025-06-23", "kind": "notice", "notice_no": "2025-1"},
    {"date": "2025-06-25", "kind": "settled", "loan_no": "L-1", "bank_ref": "P-1"},
    {"date": "2025-07-01", "kind": "subsidy", "uscc": "91110119MA01ABC17J", "loan_no": "L-2", "policy_no": "Y-1",
     "amount": "5000.00"},
    {"date": "2025-07-03", "kind": "returned", "policy_no": "Y-1", "reason": "account closed"},
    {"date": "2025-09-01", "kind": "recovery", "loan_no": "L-1", "amount": "300000.00", "bank_ref": "R-1"},
    {"date": "2025-10-09", "kind": "write_off", "loan_no": "L-1", "uscc": "91110119MA01ABC17J",
     "amount": "500000.00"},
    {"date": "2025-11-03", "kind": "clawback", "loan_no": "L-1", "amount": "100000.00", "bank_ref": "R-2"},
    {"date": "2025-12-01", "kind": "other", "amount": "1.00", "bank_ref": "R-3"},
    {"date": "2025-12-31", "kind": "income", "amount": "80000.00", "period": "2025", "bank_ref": "I-1"},
    {"date": "2025-12-31", "kind": "statement", "balance": "14480001.00"},
    {"date": "2026-01-12", "kind": "fee", "year": "2025", "rate": "0.15", "by": "drc"},
    {"date": "2026-01-12", "kind": "fee", "year": "2025", "rate": "0.15", "by": "finance"},
    {"date": "2026-01-15", "kind": "settled", "year": "2025", "bank_ref": "P-2"},
)  # fmt: skip


def template() -> str:
    """A small history with a row of every kind, as CSV."""
    lines = [",".join(COLUMNS), *(",".join(row.get(column, "") for column in COLUMNS) for row in _EXAMPLE)]
    return "\n".join(lines) + "\n"
