"""Any story of payments, recoveries, remittances and clawbacks against an independent model of recovery.share."""

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.recovery.domain.recovery import Recovery
from services.recovery.domain.sharing import decide_collect, decide_overdue, decide_remit
from shared.contracts.partners import RecoveryCollected
from shared.contracts.pool import FundsBooked
from shared.contracts.recovery import RecoveryShared, RemittanceOverdue
from shared.money import format_yuan
from tests.recovery.stories import LOAN, OPENED, POLICY, USCC, accepted, credit, settled, then

AMOUNTS = st.one_of(st.integers(1, 7), st.integers(1, 300_000), st.integers(1, 9_999_999_999))


def half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


class Story(RuleBasedStateMachine):
    """The model keeps the whole history and computes every share from it anew."""

    recovery: Recovery

    @initialize(verified=AMOUNTS, data=st.data())
    def compensate(self, verified: int, data: st.DataObject) -> None:
        self.verified, self.day = verified, OPENED
        self.paid = data.draw(st.integers(1, verified))
        self.segments: list[tuple[int, list[tuple[int, int]]]] = [(self.paid, [])]
        self.remitted = self.returned = 0
        self.flagged: list[int] = []
        self.dues: list[tuple[int, date]] = []
        fact = settled(format_yuan(self.paid), verified=format_yuan(verified))
        self.recovery = then(None, credit(None, fact))

    @rule(data=st.data())
    @precondition(lambda self: self.paid < self.verified)
    def pay_more(self, data: st.DataObject) -> None:
        more = data.draw(st.integers(1, self.verified - self.paid))
        self.paid += more
        self.segments.append((self.paid, []))
        fact = settled(format_yuan(more), f"D-{len(self.segments)}", format_yuan(self.verified))
        self.recovery = then(self.recovery, credit(self.recovery, fact))

    @rule(amount=AMOUNTS)
    def collect(self, amount: int) -> None:
        fact = RecoveryCollected(loan_no=LOAN, amount=amount, collected_on=self.day)
        decision = decide_collect(self.recovery, fact, "bank-a", self.day, POLICY)
        (event,) = accepted(decision)
        assert isinstance(event, RecoveryShared)
        expected = self._expected(amount)
        assert (event.pool_share, event.institution_share) == (expected, amount - expected)
        self.segments[-1][1].append((amount, expected))
        self.dues.append((expected, event.due_on))
        self.recovery = then(self.recovery, decision)
        assert self._shared() + self.returned <= self.paid or expected == 0

    def _expected(self, amount: int) -> int:
        paid, shares = self.segments[-1]
        with localcontext(prec=60):
            due = half_up(Decimal(sum(a for a, _ in shares) + amount) * paid / self.verified)
        return max(0, min(due - sum(s for _, s in shares), self.paid - self.returned - self._shared()))

    def _shared(self) -> int:
        return sum(share for _, shares in self.segments for _, share in shares)

    def _book(self, purpose: str, amount: int) -> None:
        applied = min(amount, max(0, self.paid - self.remitted - self.returned))
        fact = FundsBooked.model_construct(purpose=purpose, uscc=USCC, loan_no=LOAN, amount=amount, applied=applied,
                                           bank_ref="R", received_on=self.day)
        self.remitted += applied if purpose == "recovery" else 0
        self.returned += applied if purpose == "clawback" else 0
        self.recovery = then(self.recovery, decide_remit(self.recovery, fact, POLICY))

    @rule(amount=AMOUNTS)
    def remit(self, amount: int) -> None:
        self._book("recovery", amount)

    @rule()
    def remit_what_is_due(self) -> None:
        self._book("recovery", max(0, self._shared() - self.remitted))

    @rule(amount=AMOUNTS)
    def claw_back(self, amount: int) -> None:
        self._book("clawback", amount)

    @rule(days=st.integers(1, 40))
    def days_pass(self, days: int) -> None:
        self.day += timedelta(days=days)
        decision = decide_overdue([self.recovery], self.day, POLICY)
        found = {}
        for event in accepted(decision):
            assert isinstance(event, RemittanceOverdue)
            found[event.share_no] = event.amount
        assert found == self._late()
        self.flagged += found
        self.recovery = then(self.recovery, decision)

    def _late(self) -> dict[int, int]:
        owed = max(0, self.paid - self.remitted - self.returned)
        left, late = self.remitted + max(0, self._shared() - self.remitted - owed), {}
        for number, (share, due_on) in enumerate(self.dues, 1):
            missing = max(0, share - left)
            left = max(0, left - share)
            if missing > 0 and due_on < self.day and number not in self.flagged:
                late[number] = missing
        return late

    @invariant()
    def shares_add_up_and_never_exceed_what_was_paid(self) -> None:
        state = self.recovery
        assert state.pool_share_fen == self._shared()
        assert state.pool_share_fen + state.institution_share_fen == state.collected_fen
        assert state.collected_fen == sum(amount for _, shares in self.segments for amount, _ in shares)
        assert 0 <= state.pool_share_fen <= state.paid_fen == self.paid
        assert (state.remitted_fen, state.returned_fen) == (self.remitted, self.returned)
        assert (state.status == "closed") == (self.remitted + self.returned >= self.paid)

    @invariant()
    def without_later_payments_or_clawbacks_the_total_is_the_rounded_product(self) -> None:
        if len(self.segments) == 1 and not self.returned:
            with localcontext(prec=60):
                product = half_up(Decimal(self.recovery.collected_fen) * self.paid / self.verified)
            assert self.recovery.pool_share_fen == min(self.paid, product)


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
