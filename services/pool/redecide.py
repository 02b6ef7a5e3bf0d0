"""The pool's events decided again: what each message said follows from its first event and the state before it.

Messages themselves are not kept. Every decision begins with an event that repeats what it decided on, so the message is
made again from that event, given to the same rule with the state that all events before left behind, and what the rule
answers must be what was recorded.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from services.pool.domain.close import Stand, close_books, close_keys, evolve_close
from services.pool.domain.compensation import compensation_keys, decide_write_off, evolve_compensation
from services.pool.domain.custodian import decide_return, decide_settlement
from services.pool.domain.disbursement import disbursement_keys, evolve_disbursement
from services.pool.domain.fees import decide_fee
from services.pool.domain.fund import FUND_KEY, Fund, evolve_fund, fund_keys
from services.pool.domain.money_in import bank_ref_keys, decide_capital, decide_funds, decide_income, evolve_bank_ref
from services.pool.domain.notice import Approval, approval_keys, decide_approval, decide_notice, evolve_approval
from services.pool.domain.reports import decide_report, decide_statement
from services.pool.domain.subsidy import decide_subsidy, evolve_subsidy, subsidy_keys
from services.pool.ledger import CASH, OF_A_PARTY, effective_on, party_of
from services.pool.policy import PoolPolicy
from services.pool.posting import pairs
from shared.calendar import half_end
from shared.contracts import commands, partners, pool, recovery, review
from shared.contracts.base import Event, made
from shared.decisions import Decision, Refusal
from shared.money import parse_yuan

Row = tuple[str, str, int, date]
"""A row of the journal: debit, credit, amount in fen, effective date."""
_FOLDS: tuple[tuple[str, Callable[[Event], tuple[str, ...]], Callable[[Any, Event], Any]], ...] = (
    ("fund", fund_keys, evolve_fund),
    ("compensation", compensation_keys, evolve_compensation),
    ("subsidy", subsidy_keys, evolve_subsidy),
    ("disbursement", disbursement_keys, evolve_disbursement),
    ("approval", approval_keys, evolve_approval),
    ("bank_ref", bank_ref_keys, evolve_bank_ref),
    ("close", close_keys, evolve_close),
)


class Undecidable(Exception):
    """The rules do not give this event: no message makes it, or the one that would is refused."""


class Redecision:
    """One scheme's pool, as far as its events have been folded.

    ``states`` are the aggregates by kind and key; ``days`` what moved on each account each day, as debit and credit in
    fen, ``parties`` the same by day, institution, department and account; ``previous`` is the digest of the last close.
    """

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], Any] = {}
        self.days: dict[tuple[str, date], list[int]] = {}
        self.parties: dict[tuple[date, str, str, str], list[int]] = {}
        self.previous = ""
        self._waiting: dict[str, Approval] = {}
        self._paid: dict[str, tuple[str, str]] = {}

    def fold(self, event: Event) -> list[Row]:
        """Let an event have happened; the journal rows that it writes."""
        for kind, keys, evolve in _FOLDS:
            for key in keys(event):
                state = evolve(self.states.get((kind, key)), event)
                if state is not None:
                    self.states[kind, key] = state
                if kind == "approval":
                    self._note_approval(key, state)
        if isinstance(event, pool.BooksClosed):
            self.previous = event.digest
        return list(self._post(event))

    def _note_approval(self, half: str, approval: Approval | None) -> None:
        if approval is not None and approval.waiting:
            self._waiting[half] = approval
        else:
            self._waiting.pop(half, None)

    def _post(self, event: Event) -> Iterator[Row]:
        if not isinstance(event, pool.PoolEvent) or not event.entries:
            return
        day = effective_on(event) or event.on
        party = self._party_of(event)
        for debit, credit, amount_fen in pairs(event.entries):
            for account, side in ((debit, 0), (credit, 1)):
                self.days.setdefault((account, day), [0, 0])[side] += amount_fen
                if party and account in OF_A_PARTY:
                    self.parties.setdefault((day, *party, account), [0, 0])[side] += amount_fen
            yield debit, credit, amount_fen, day

    def _party_of(self, event: pool.PoolEvent) -> tuple[str, str] | None:
        """Whose compensation it is about; events of the first release name the loan only."""
        party = party_of(event)
        if isinstance(event, pool.CompensationInstructed) and party:
            self._paid.setdefault(event.loan_no, party)
        elif party is None and isinstance(event, pool.FundsBooked | pool.WriteOffBooked):
            party = self._paid.get(event.loan_no)
        return party

    @property
    def fund(self) -> Fund | None:
        """The fund; None before its first event."""
        fund: Fund | None = self.states.get(("fund", FUND_KEY))
        return fund

    def balances_fen(self, until: date = date.max) -> dict[str, int]:
        """What each account stands at in fen at the end of a day, by effective dates; without those that are zero."""
        totals: dict[str, int] = {}
        for (account, day), (debit, credit) in self.days.items():
            if day <= until:
                totals[account] = totals.get(account, 0) + debit - credit
        return {account: fen for account, fen in sorted(totals.items()) if fen}

    def close(self, recorded: pool.BooksClosed, stand: Stand, scheme: str, version: str, today: date) -> Event:
        """The close that must have been made then, with the seal that the recorded one has."""
        balances = self.balances_fen(half_end(recorded.half))

        def seal(digest: str) -> tuple[str, str]:
            return recorded.signature, recorded.public_key

        return close_books(scheme, version, recorded.half, stand, balances, self.previous, today, seal)

    def decide(self, first: Event, policy: PoolPolicy, today: date) -> tuple[Event, ...]:
        """The events of the decision that began with ``first``; Undecidable where the rules give none."""
        decision = self._decision(first, policy, today)
        if isinstance(decision, Refusal):
            raise Undecidable(f"the rules refuse it: {decision.rule} {decision.reason}".rstrip())
        if not decision.events:
            raise Undecidable("the rules say that it was known already")
        return decision.events

    def _decision(self, first: Event, policy: PoolPolicy, today: date) -> Decision:
        match first:
            case pool.ApprovalRecorded() | pool.PayoutNoticeIssued() | pool.SubsidyReleased() | pool.WriteOffBooked():
                return self._of_our_side(first, policy, today)
            case pool.CapitalInjected() | pool.FundsBooked() | pool.IncomeBooked():
                return self._of_money_in(first, policy, today)
            case pool.CompensationSettled() | pool.SubsidySettled() | pool.FeeSettled():
                settled = made(
                    partners.TransferSettled, disbursement_id=first.disbursement_id, bank_ref=first.bank_ref,
                    settled_on=first.settled_on or first.on,
                )
                known = self.states.get(("disbursement", first.disbursement_id))
                return decide_settlement(self.fund, known, settled, policy, today)
            case pool.DisbursementReturned():
                back = made(partners.TransferReturned, disbursement_id=first.disbursement_id, reason=first.reason)
                known = self.states.get(("disbursement", first.disbursement_id))
                return decide_return(self.fund, known, back, policy, today)
            case pool.FeeApproval():
                fee = made(commands.ApproveFee, year=first.year, rate=first.rate)
                return decide_fee(self.fund, fee, first.by, policy, today)
            case pool.StatementReconciled() | pool.StatementMismatch():
                issued = made(partners.StatementIssued, as_of=first.as_of, balance=first.statement)
                ledger_fen = self.balances_fen(first.as_of).get(CASH, 0)
                return decide_statement(self.fund, ledger_fen, issued, policy, today)
            case pool.ReportFiled():
                report = made(commands.FileReport, kind=first.kind, period=first.period, document=first.document)
                return decide_report(report, first.by, "custodian", policy, today)
        raise Undecidable("no message makes it by itself")

    def _of_our_side(self, first: Event, policy: PoolPolicy, today: date) -> Decision:
        said = first.why.figures if first.why else {}
        match first:
            case pool.ApprovalRecorded():
                skipped = tuple(_skipped(loan_no) for loan_no in first.skipped)
                approved = made(
                    review.CompensationApproved, half=first.half, consented_on=first.consented_on,
                    document_no=said.get("document_no", ""), items=(*first.items, *skipped),
                )
                return decide_approval(self.fund, self._known_loans(approved), approved, policy, today)
            case pool.PayoutNoticeIssued():
                notice = made(commands.IssuePayoutNotice, notice_no=first.notice_no, reason=first.reason)
                waiting = [approval for _, approval in sorted(self._waiting.items())]
                return decide_notice(self.fund, waiting, notice, policy, today)
            case pool.SubsidyReleased():
                subsidy = made(
                    review.SubsidyApproved, uscc=first.uscc, loan_no=first.loan_no, policy_no=first.policy_no,
                    amount=first.amount, approved_on=first.on,
                )
                return decide_subsidy(
                    self.fund, self.states.get(("subsidy", first.policy_no)), subsidy, policy, today
                )  # fmt: skip
            case pool.WriteOffBooked():
                amount_fen = _fen(said.get("approved"), first.amount)
                write_off = made(
                    recovery.WriteOffApproved, uscc=first.uscc, loan_no=first.loan_no, amount=amount_fen
                )  # fmt: skip
                known = self.states.get(("compensation", first.loan_no))
                return decide_write_off(self.fund, known, write_off, policy, today)
        raise AssertionError(first)

    def _of_money_in(self, first: Event, policy: PoolPolicy, today: date) -> Decision:
        match first:
            case pool.CapitalInjected():
                capital = made(
                    commands.InjectCapital, source=first.source, amount=first.amount, bank_ref=first.bank_ref
                )  # fmt: skip
                known = self.states.get(("bank_ref", first.bank_ref))
                return decide_capital(self.fund, known, capital, policy, today)
            case pool.FundsBooked():
                received = made(
                    partners.FundsReceived, purpose=first.purpose, loan_no=first.loan_no or None, amount=first.amount,
                    bank_ref=first.bank_ref, received_on=first.received_on,
                )
                loan, known = (
                    self.states.get(("compensation", first.loan_no)), self.states.get(("bank_ref", first.bank_ref))
                )  # fmt: skip
                return decide_funds(self.fund, loan, known, received, policy, today)
            case pool.IncomeBooked():
                income = made(
                    partners.IncomeCredited, amount=first.amount, period=first.period, bank_ref=first.bank_ref
                )  # fmt: skip
                known = self.states.get(("bank_ref", first.bank_ref))
                return decide_income(self.fund, known, income, first.by, policy, today)
        raise AssertionError(first)

    def _known_loans(self, approved: review.CompensationApproved) -> frozenset[str]:
        waiting = {loan_no for approval in self._waiting.values() for loan_no in approval.loan_nos}
        return frozenset(
            item.loan_no
            for item in approved.items
            if item.loan_no in waiting or ("compensation", item.loan_no) in self.states
        )


def _skipped(loan_no: str) -> review.CompensationItem:
    """What an approval named of a loan that has its compensation already: only the number is left of it."""
    return made(review.CompensationItem, loan_no=loan_no)  # type: ignore[call-arg]


def _fen(said: str | None, otherwise_fen: int) -> int:
    """An amount among a decision's figures; the booked one where the figures are not what they must be."""
    try:
        return parse_yuan(said) if said is not None else otherwise_fen
    except ValueError:
        return otherwise_fen
