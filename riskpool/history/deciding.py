"""Each row of a history decided as its message would have been on its day, by the pool's own handlers."""

from collections.abc import Iterator
from datetime import datetime, time

from pydantic import ValidationError

from riskpool.history.columns import KINDS, Cells, message_of
from riskpool.history.memory import Memory
from riskpool.history.rows import Fact, Problem
from services.pool.domain.reports import decide_statement
from services.pool.policy import PoolPolicy
from services.pool.store import load_fund
from shared.clock import SHANGHAI, Clock, business_date
from shared.contracts.base import Command, Event
from shared.contracts.partners import StatementIssued
from shared.contracts.pool import (
    ApprovalRecorded,
    CompensationInstructed,
    CompensationSettled,
    DisbursementReturned,
    FeeInstructed,
    FeeSettled,
    StatementMismatch,
    SubsidyInstructed,
    SubsidySettled,
)
from shared.decisions import Decision, Refusal
from shared.messaging.incoming import describe
from shared.messaging.unit_of_work import UnitOfWork
from shared.money import format_yuan
from shared.scheme.loader import Scheme
from shared.scheme.refusals import explain

NOON = time(12, tzinfo=SHANGHAI)
Item = tuple[str, str]


class Deciding:
    """One fund's history from nothing; ``memory`` holds what follows from the rows so far."""

    def __init__(self, scheme: Scheme, name: str) -> None:
        self.scheme, self.name = scheme, name
        self.memory = Memory(scheme.id)
        self.today = business_date(Clock.now())
        self._open: dict[Item, list[str]] = {}

    async def decide(self, fact: Fact) -> Problem | None:
        """Let a row happen; the problem when it cannot have happened so."""
        try:
            return await self._decide(fact)
        except ValidationError as error:
            return Problem(fact.line, "fields", f"correct {describe(error)}")
        except ValueError as error:
            return Problem(fact.line, "size", f"{error}: split it, such as a consent by document_no")

    async def _decide(self, fact: Fact) -> Problem | None:
        if fact.day > self.today:
            return Problem(fact.line, "date", f"it is of {fact.day}, which is still to come")
        kind, sender = KINDS[fact.kind], fact.rows[0].get("by", KINDS[fact.kind].sender)
        rows = fact.rows
        if "disbursement_id" in kind.columns:
            number = self._disbursement(rows[0])
            if number is None:
                words = "no transfer for it is open: name it by loan_no, policy_no, year or disbursement_id"
                return Problem(fact.line, "pool.custodian", words)
            rows = ({**rows[0], "disbursement_id": number},)
        message = message_of(fact.kind, str(fact.day), rows)
        if isinstance(message, Command) and self._kind_of(sender) not in message.by:
            words = f"by: {sender!r} may not; only an organisation that is {' or '.join(message.by)}"
            return Problem(fact.line, "permission", words)
        moment = datetime.combine(fact.day, NOON)
        unit = UnitOfWork(self.memory, self.scheme, moment, sender, "", f"{self.name}-{fact.line}")
        if isinstance(message, StatementIssued):
            decision = await self._statement(unit, message)
        else:
            decision = await kind.handler(unit, message)
        if problem := self._problem(fact.line, decision):
            return problem
        await unit.record(decision.events)
        for event in decision.events:
            self._note(event)
        return None

    async def _statement(self, unit: UnitOfWork, issued: StatementIssued) -> Decision:
        ledger_fen = self.memory.cash_at_end_of(issued.as_of)
        return decide_statement(await load_fund(unit), ledger_fen, issued, unit.policy(PoolPolicy), unit.today)

    def _problem(self, line: int, decision: Decision) -> Problem | None:
        if isinstance(decision, Refusal):
            words = explain(decision.rule, decision.reason, decision.figures, "en", self.scheme)
            return Problem(line, decision.rule, words)
        match decision.events:
            case ():
                return Problem(line, "duplicate", "an earlier row says the same, or nothing is left of it: remove it")
            case (ApprovalRecorded(skipped=(_, *_) as skipped), *_):
                return Problem(line, "claim.party", f"a loan is compensated once: remove {', '.join(skipped)}")
            case (StatementMismatch() as mismatch, *_):
                ledger, said = format_yuan(mismatch.ledger), format_yuan(mismatch.statement)
                words = f"the rows up to {mismatch.as_of} leave {ledger} in cash, the statement says {said}"
                return Problem(line, "pool.reconcile", words)
        return None

    def _kind_of(self, sender: str) -> str:
        organisation = self.scheme.organisations.get(sender)
        return organisation.kind if organisation else ""

    def _disbursement(self, row: Cells) -> str | None:
        """The transfer that a row is about: by its own number, or the oldest that is open for what it names."""
        if "disbursement_id" in row:
            return row["disbursement_id"]
        for kind, column in (("compensation", "loan_no"), ("subsidy", "policy_no"), ("fee", "year")):
            if column in row:
                return next(iter(self._open.get((kind, row[column]), ())), None)
        return None

    def _note(self, event: Event) -> None:
        for item, number, opens in _transfers(event):
            if opens:
                self._open.setdefault(item, []).append(number)
            else:
                self._open[item].remove(number)


def _transfers(event: Event) -> Iterator[tuple[Item, str, bool]]:
    """The transfer that an event instructs (True), settles or returns, and for what."""
    match event:
        case CompensationInstructed():
            yield ("compensation", event.loan_no), event.disbursement_id, True
        case SubsidyInstructed():
            yield ("subsidy", event.policy_no), event.disbursement_id, True
        case FeeInstructed():
            yield ("fee", str(event.year)), event.disbursement_id, True
        case CompensationSettled():
            yield ("compensation", event.loan_no), event.disbursement_id, False
        case SubsidySettled():
            yield ("subsidy", event.policy_no), event.disbursement_id, False
        case FeeSettled():
            yield ("fee", str(event.year)), event.disbursement_id, False
        case DisbursementReturned():
            number = {"compensation": event.loan_no, "subsidy": event.policy_no, "fee": str(event.year)}[event.kind]
            yield (event.kind, number), event.disbursement_id, False
