"""How fast the pool's pure rules decide, fold and write down, with no server at all: part of `riskpool bench`."""

import time
from datetime import date
from decimal import Decimal
from typing import Any

from services.pool.domain.fund import FUND_KEY
from services.pool.domain.money_in import decide_capital, decide_funds
from services.pool.domain.notice import decide_approval, decide_notice
from services.pool.policy import PoolPolicy
from services.pool.store import AGGREGATES
from shared.contracts.commands import InjectCapital, IssuePayoutNotice
from shared.contracts.partners import FundsReceived
from shared.contracts.review import CompensationApproved, CompensationItem
from shared.decisions import Accepted, Decision
from shared.scheme.loader import load_scheme

DAY = date(2026, 6, 1)
LOAN, HALF, PAID_FEN = "L-1", "2026H1", 10_000_000_00
BETWEEN_LOOKS = 50


class Books:
    """The pool's states in memory, folded from its events as the unit of work folds them."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], Any] = {}

    def record(self, decision: Decision) -> None:
        """Evolve every state by a decision's events, which carry their ledger entries, and write their JSON."""
        assert isinstance(decision, Accepted)
        for event in decision.events:
            for aggregate in AGGREGATES:
                for key in aggregate.keys(event):
                    place = (aggregate.name, key)
                    self.states[place] = aggregate.evolve(self.states.get(place), event)
            event.json_data()


def decisions_per_second(seconds: float) -> float:
    """Recoveries of 0.01 yuan on a compensated loan: decided, posted, folded and written, one after the other."""
    policy = load_scheme("yanqing").policy(PoolPolicy)
    books = _with_a_compensated_loan(policy)
    received = FundsReceived(purpose="recovery", loan_no=LOAN, amount=1, bank_ref="R", received_on=DAY)
    count, begun = 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        for _ in range(BETWEEN_LOOKS):
            fund, loan = books.states["fund", FUND_KEY], books.states["compensation", LOAN]
            books.record(decide_funds(fund, loan, None, received, policy, DAY))
        count += BETWEEN_LOOKS
    assert books.states["fund", FUND_KEY].recovered_fen == count
    return count / taken


def loan_item(loan_no: str, amount_fen: int) -> CompensationItem:
    """A compensation of bank-a, consented to."""
    return CompensationItem(
        loan_no=loan_no, uscc="U-1", payee="bank-a", lender="bank-a", recommender="scitech", ratio=Decimal("0.50"),
        verified_principal=2 * amount_fen, reduction=Decimal(0), amount=amount_fen,
    )  # fmt: skip


def _with_a_compensated_loan(policy: PoolPolicy) -> Books:
    books = Books()
    for source, amount in policy.sources.items():
        command = InjectCapital(source=source, amount=amount, bank_ref=source)
        books.record(decide_capital(books.states.get(("fund", FUND_KEY)), None, command, policy, DAY))
    approved = CompensationApproved(half=HALF, consented_on=DAY, document_no="1", items=(loan_item(LOAN, PAID_FEN),))
    books.record(decide_approval(books.states["fund", FUND_KEY], frozenset(), approved, policy, DAY))
    notice = IssuePayoutNotice(notice_no="1")
    books.record(decide_notice(books.states["fund", FUND_KEY], [books.states["approval", HALF]], notice, policy, DAY))
    return books
