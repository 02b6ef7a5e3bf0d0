"""Agreements with institutions: what each signed, whether it counts on a day, and in which order they are preferred."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field

from services.review.policy import ReviewPolicy
from shared.contracts.base import Day, Event, Product, Rate, Shape
from shared.contracts.commands import SignAgreement, Terms
from shared.contracts.review import AgreementSigned, InstitutionSanctioned, Preferred
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_rate

Kind = Literal["bank", "lender", "guarantor", "insurer", "custodian"]
COLLATERAL = {"none": 0, "partial": 1, "full": 2}
PRODUCTS: tuple[Product, ...] = ("bank", "guarantee", "insurance")

# Who runs the machines signs in under this id, and sees no enterprise's data.
OPERATOR = "operator"


class Agreement(Shape):
    """An institution's one agreement and what sanctions made of it; ``reduction`` is withheld from compensation."""

    institution: str
    kind: Kind
    name: str
    valid_from: Day
    valid_to: Day
    products: tuple[Product, ...] = ()
    guarantor_shares: dict[str, Rate] = Field(default_factory=dict)
    fee_rate: Rate | None = None
    terms: Terms | None = None
    reduction: Rate = Decimal(0)
    terminated: bool = False

    def valid_on(self, day: date) -> bool:
        """Whether it counts on that day for something new (push.rated)."""
        return not self.terminated and self.valid_from <= day <= self.valid_to


def agreement_keys(event: Event) -> tuple[str, ...]:
    """The institution whose agreement an event changes."""
    return (event.institution,) if isinstance(event, (AgreementSigned, InstitutionSanctioned)) else ()


def evolve_agreement(agreement: Agreement | None, event: Event) -> Agreement | None:
    """The agreement after an event: a later one replaces it, a reduction outlives the replacement."""
    match event:
        case AgreementSigned():
            return _signed(event, agreement.reduction if agreement else Decimal(0))
        case InstitutionSanctioned(measure="reduce") if agreement:
            return agreement.model_copy(update={"reduction": event.reduction or Decimal(0)})
        case InstitutionSanctioned(measure="terminate") if agreement:
            return agreement.model_copy(update={"terminated": True})
        case _:
            return agreement


def decide_agreement(agreement: Agreement | None, command: SignAgreement, policy: ReviewPolicy) -> Decision:
    """Record an agreement, one an institution (二(六)); an organisation of the scheme itself cannot sign one."""
    if command.institution in (*policy.organisations, OPERATOR):
        return Refusal("permission", "organisation", {"institution": command.institution})
    shares = command.guarantor_shares or {}
    if any(share > 1 for share in shares.values()):
        return Refusal("loan.product", "share", {"share": str(max(shares.values()))})
    signed = AgreementSigned(
        institution=command.institution,
        kind=command.kind,
        name=command.name,
        valid_from=command.valid_from,
        valid_to=command.valid_to,
        products=command.products,
        guarantor_shares=shares,
        fee_rate=command.fee_rate,
        terms=command.terms,
    )
    known = agreement is not None and not agreement.terminated
    if agreement is not None and known and evolve_agreement(agreement, signed) == agreement:
        return Accepted(duplicate=True)
    return Accepted((signed,))


def rank(agreements: Iterable[Agreement], product: Product, order: tuple[str, ...]) -> tuple[Preferred, ...]:
    """The institutions of a product, the preferred first, each with its reasons (push.preference, 二(五)).

    ``order`` is the setting ``push.preference``; an institution that did not state its terms comes last.
    """
    able = sorted((a for a in agreements if product in a.products), key=lambda a: (_merits(a, order), a.institution))
    return tuple(
        Preferred(institution=a.institution, product=product, place=place, reasons=_reasons(a, order))
        for place, a in enumerate(able, start=1)
    )


def rank_all(agreements: Iterable[Agreement], order: tuple[str, ...]) -> tuple[Preferred, ...]:
    """The push lists of every product, one after the other (push.preference)."""
    known = tuple(agreements)
    return tuple(place for product in PRODUCTS for place in rank(known, product, order))


def _merits(agreement: Agreement, order: tuple[str, ...]) -> tuple[Decimal, ...]:
    terms = agreement.terms
    if terms is None:
        return (Decimal(1),)
    merit = {
        "collateral": Decimal(COLLATERAL[terms.collateral]),
        "annual_rate_from": terms.annual_rate_from,
        "own_product": Decimal(not terms.own_product),
    }
    return (Decimal(0), *(merit[key] for key in order))


def _reasons(agreement: Agreement, order: tuple[str, ...]) -> tuple[str, ...]:
    terms = agreement.terms
    if terms is None:
        return ("terms:unknown",)
    reason = {
        "collateral": f"collateral:{terms.collateral}",
        "annual_rate_from": f"annual_rate_from:{format_rate(terms.annual_rate_from)}",
        "own_product": f"own_product:{'yes' if terms.own_product else 'no'}",
    }
    return tuple(reason[key] for key in order)


def _signed(event: AgreementSigned, reduction: Decimal) -> Agreement:
    return Agreement(
        institution=event.institution,
        kind=event.kind,
        name=event.name,
        valid_from=event.valid_from,
        valid_to=event.valid_to,
        products=event.products,
        guarantor_shares=event.guarantor_shares,
        fee_rate=event.fee_rate,
        terms=event.terms,
        reduction=reduction,
    )
