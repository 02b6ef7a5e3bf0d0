"""What the gateway answers of an institution: agreement, sanctions, how its loans went, its part of the queue."""

from datetime import date
from typing import Any

from services.gateway.views import View
from shared.contracts.base import Fen, Rate


class SanctionView(View):
    """A sanction on an institution."""

    measure: str
    reduction: Rate | None
    loan_nos: list[str]
    reason: str
    sanctioned_on: date


class InstitutionView(View):
    """An institution, its agreement and how its loans went."""

    id: str
    kind: str
    name: str
    valid_from: date
    valid_to: date
    products: list[str]
    guarantor_shares: dict[str, str]
    fee_rate: Rate | None
    terms: dict[str, Any] | None
    terminated: bool
    sanctions: list[SanctionView]
    loans: int
    compensated: int


class DefaultsView(View):
    """How an institution's covered loans went; ``ratio`` is defaulted among all by number, null without a loan.

    A loan counts as defaulted from its accepted claim on, whatever became of it: ``rule`` says what makes it one. The
    scheme draws no consequence from the ratio by itself (sanction.institution).
    """

    rule: str = "claim.classified"
    loans: int
    principal: Fen
    defaulted: int
    defaulted_principal: Fen
    ratio: Rate | None
    principal_ratio: Rate | None


class QueuedView(View):
    """A payout of an institution's loans that waits: its ``place`` among ``of`` in the whole queue, and why.

    ``rule`` is what holds it. A compensation that no notice has released yet has no place: its reason is ``notice``.
    """

    kind: str
    loan_no: str
    policy_no: str | None = None
    uscc: str
    payee: str | None
    amount: Fen
    place: int | None
    of: int
    reason: str | None
    rule: str | None


class InstitutionDetailView(InstitutionView):
    """An institution with its default ratio and what waits to be paid for its loans."""

    defaults: DefaultsView
    queue: list[QueuedView]
