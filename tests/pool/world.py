"""A pool in memory: the pure decisions, folded as the unit of work folds them, with amounts in yuan as text."""

from datetime import date
from decimal import Decimal
from typing import Any

from services.pool import store
from services.pool.audit import audit
from services.pool.domain.compensation import decide_write_off
from services.pool.domain.custodian import decide_return, decide_settlement
from services.pool.domain.fees import decide_fee
from services.pool.domain.fund import FUND_KEY, Fund
from services.pool.domain.money_in import decide_capital, decide_funds, decide_income
from services.pool.domain.notice import decide_approval, decide_notice
from services.pool.domain.reports import decide_statement
from services.pool.domain.subsidy import decide_subsidy
from services.pool.ledger import balances
from services.pool.policy import PoolPolicy
from shared.contracts.base import Event
from shared.contracts.commands import ApproveFee, InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived, IncomeCredited, StatementIssued, TransferReturned, TransferSettled
from shared.contracts.pool import FundFigures, PoolEvent
from shared.contracts.recovery import WriteOffApproved
from shared.contracts.review import CompensationApproved, CompensationItem, SubsidyApproved
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan, parse_yuan
from shared.scheme.loader import load_scheme

DEFAULT = load_scheme("yanqing").policy(PoolPolicy)
START = date(2026, 3, 2)


def fen(yuan: str | int) -> int:
    """``"20.6"`` is twenty yuan sixty; an int is fen already."""
    return int(Decimal(yuan) * 100) if isinstance(yuan, str) else yuan


def million(amount: str) -> int:
    """Fen of an amount in million yuan."""
    return int(Decimal(amount) * 100_000_000)


def item(loan_no: str, amount_fen: int, **more: Any) -> CompensationItem:
    """A consented compensation of a bank loan."""
    fields: dict[str, Any] = {
        "loan_no": loan_no, "uscc": f"U-{loan_no}", "payee": "bank-a", "lender": "bank-a", "recommender": "scitech",
        "verified_principal": amount_fen * 2, "ratio": Decimal("0.50"), "reduction": Decimal(0), "amount": amount_fen,
    }
    return CompensationItem(**{**fields, **more})


def fold(states: dict[tuple[str, str], Any], event: Event) -> None:
    """Change every state that an event changes."""
    for aggregate in store.AGGREGATES:
        for key in aggregate.keys(event):
            place = (aggregate.name, key)
            states[place] = aggregate.evolve(states.get(place), event)


class World:
    """One scheme's pool: states by aggregate and key, and every event so far."""

    def __init__(self, policy: PoolPolicy = DEFAULT, capital: bool = True) -> None:
        self.policy = policy
        self.today = START
        self.states: dict[tuple[str, str], Any] = {}
        self.events: list[PoolEvent] = []
        self.last: tuple[Event, ...] = ()
        self.count = 0
        if capital:
            for source, amount in policy.sources.items():
                self.inject(source, amount)

    # -- what is there -----------------------------------------------------------------------------------------------

    @property
    def fund(self) -> Fund:
        return self.states.get(("fund", FUND_KEY)) or Fund()

    @property
    def figures(self) -> FundFigures:
        return self.events[-1].fund

    @property
    def balance(self) -> str:
        return format_yuan(self.fund.available_fen)

    def state(self, aggregate: str, key: str) -> Any:
        return self.states.get((aggregate, key))

    @property
    def held(self) -> list[tuple[str, int, str | None]]:
        return [(queued.item.number, queued.remaining_fen, queued.reason) for queued in self.fund.queue]

    @property
    def happened(self) -> list[str]:
        return [type(event).__name__ for event in self.last]

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.last if type(event).__name__ == kind]

    def instructed(self, loan_no: str) -> list[str]:
        found = [d for (kind, _), d in self.states.items() if kind == "disbursement" and d.status == "instructed"]
        return sorted(d.id for d in found if d.item.number == loan_no)

    def differences(self) -> tuple[str, ...]:
        """What an audit finds when it reads the events again as they were announced.

        Rules make events and states unchecked: here each must pass the checks of its own contract, and come back equal.
        """
        read = [type(event).model_validate_json(event.json_data()) for event in self.events]
        assert read == self.events
        for state in self.states.values():
            assert state.json_data() == state.model_dump_json()
            assert type(state).model_validate_json(state.json_data()) == state
        again: dict[tuple[str, str], Any] = {}
        for event in read:
            fold(again, event)
        dumps = {place: state.model_dump(mode="json") for place, state in self.states.items()}
        assert dumps == {place: state.model_dump(mode="json") for place, state in again.items()}
        return audit(read, self.states.get(("fund", FUND_KEY)), balances(self.events))

    # -- what happens ------------------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> Decision:
        self.last = decision.events
        for event in decision.events:
            fold(self.states, event)
            if isinstance(event, PoolEvent):
                self.events.append(event)
        return decision

    def _next(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count}"

    def inject(self, source: str, amount: str | int, bank_ref: str | None = None) -> Decision:
        command = InjectCapital(source=source, amount=fen(amount), bank_ref=bank_ref or self._next("CAP"))
        known = self.state("bank_ref", command.bank_ref)
        return self.record(decide_capital(self.fund, known, command, self.policy, self.today))

    def approve(self, *items: CompensationItem, half: str = "2026H1", on: date | None = None) -> Decision:
        approved = CompensationApproved(half=half, consented_on=on or self.today, document_no="1", items=items)
        waiting = {n for (kind, _), a in self.states.items() if kind == "approval" for n in a.loan_nos}
        loans = {item.loan_no for item in items if self.state("compensation", item.loan_no)}
        return self.record(decide_approval(self.fund, frozenset(waiting | loans), approved, self.policy, self.today))

    def notice(self, reason: str | None = "needed", notice_no: str | None = None) -> Decision:
        approvals = [a for (kind, _), a in sorted(self.states.items()) if kind == "approval" and a.waiting]
        command = IssuePayoutNotice(notice_no=notice_no or self._next("N"), reason=reason)
        return self.record(decide_notice(self.fund, approvals, command, self.policy, self.today))

    def claim(self, loan_no: str, amount: str | int, **more: Any) -> Decision:
        """A compensation consented to and released at once."""
        self.approve(item(loan_no, fen(amount), **more), half=f"{2026 + len(self.events) // 2}H1")
        return self.notice()

    def subsidy(self, policy_no: str, amount: str | int) -> Decision:
        approved = SubsidyApproved(
            uscc="U-S", loan_no=f"L-{policy_no}", policy_no=policy_no, amount=fen(amount), approved_on=self.today
        )
        known = self.state("subsidy", policy_no)
        return self.record(decide_subsidy(self.fund, known, approved, self.policy, self.today))

    def fee(self, by: str, year: int, rate: str) -> Decision:
        command = ApproveFee(year=year, rate=Decimal(rate))
        return self.record(decide_fee(self.fund, command, by, self.policy, self.today))

    def receive(
        self, purpose: str, loan_no: str | None, amount: str | int, bank_ref: str | None = None, on: date | None = None
    ) -> Decision:
        received = FundsReceived.model_validate(
            {"purpose": purpose, "loan_no": loan_no, "amount": fen(amount), "bank_ref": bank_ref or self._next("R"),
             "received_on": on or self.today}
        )
        known, loan = self.state("bank_ref", received.bank_ref), self.state("compensation", loan_no or "")
        return self.record(decide_funds(self.fund, loan, known, received, self.policy, self.today))

    def recover(self, loan_no: str, amount: str | int) -> Decision:
        return self.receive("recovery", loan_no, amount)

    def income(self, amount: str | int, period: str = "2026", bank_ref: str | None = None) -> Decision:
        credited = IncomeCredited(amount=fen(amount), period=period, bank_ref=bank_ref or self._next("I"))
        known = self.state("bank_ref", credited.bank_ref)
        return self.record(decide_income(self.fund, known, credited, "custodian", self.policy, self.today))

    def settle(self, disbursement_id: str, bank_ref: str | None = None, on: date | None = None) -> Decision:
        settled = TransferSettled(
            disbursement_id=disbursement_id, bank_ref=bank_ref or f"B-{disbursement_id}", settled_on=on or self.today
        )
        known = self.state("disbursement", disbursement_id)
        return self.record(decide_settlement(self.fund, known, settled, self.policy, self.today))

    def give_back(self, disbursement_id: str, reason: str = "账户已销户") -> Decision:
        returned = TransferReturned(disbursement_id=disbursement_id, reason=reason)
        known = self.state("disbursement", disbursement_id)
        return self.record(decide_return(self.fund, known, returned, self.policy, self.today))

    def write_off(self, loan_no: str, amount: str | int) -> Decision:
        approved = WriteOffApproved(uscc=f"U-{loan_no}", loan_no=loan_no, amount=fen(amount))
        known = self.state("compensation", loan_no)
        return self.record(decide_write_off(self.fund, known, approved, self.policy, self.today))

    def statement(self, balance: str | int, as_of: date, ledger: str | int) -> Decision:
        issued = StatementIssued(as_of=as_of, balance=fen(balance))
        return self.record(decide_statement(self.fund, fen(ledger), issued, self.policy, self.today))


def refused(decision: Decision) -> tuple[str, str]:
    """Rule and reason of a refusal."""
    assert isinstance(decision, Refusal), decision
    return decision.rule, decision.reason


def accepted(decision: Decision) -> Accepted:
    """The decision, which must have been accepted as something new."""
    assert isinstance(decision, Accepted) and not decision.duplicate, decision
    return decision


def is_duplicate(decision: Decision) -> bool:
    """Whether the fact was known already, and nothing happened."""
    return isinstance(decision, Accepted) and decision.duplicate and not decision.events


__all__ = ["DEFAULT", "START", "World", "accepted", "fen", "is_duplicate", "item", "million", "parse_yuan", "refused"]
