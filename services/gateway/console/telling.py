"""Events of a case as sentences a clerk reads; the sentences stand in the catalogues under the context ``sentence``."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from jinja2 import pass_context
from jinja2.runtime import Context

from services.gateway.console.pieces import percent, yuan
from services.gateway.console.words import catalogue, word

ORGANISATIONS = frozenset({
    "by", "claimant", "department", "guarantor", "institution", "institutions", "insurer", "lender", "payee",
    "recommender", "seat", "seats",
})  # fmt: skip
CONTEXTS = {"grade": "grade", "options": "grade", "product": "product", "size": "size", "outcome": "status"}
CODES = frozenset({"cause", "classified", "decided_by", "ground", "kind", "measure", "opinion"})
RATES = frozenset({"annual_rate", "rate", "ratio", "reduction"})
ECHOES = frozenset({
    "ApprovalRecorded", "CaseBarred", "CompensationCounted", "CompensationCredited", "FinancingFailureNoted",
    "LoanCompensated", "LoanNoted", "LoanRecovered", "ReferralClosed",
})  # fmt: skip
"""What one service notes of another's event: told, but quietly."""
FIGURES = {
    "size": "size", "industry": "industry", "link": "link", "reason": "finding", "flag": "finding", "missing": "value",
    "tags": "value", "registration": "value",
}  # fmt: skip
"""Figures of findings that are codes, with the context of their words."""
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_AMOUNT = re.compile(r"-?\d{1,13}\.\d{2}")


class Told(Protocol):
    """An event as views and rows have it."""

    @property
    def type(self) -> str:
        """Its name."""

    @property
    def data(self) -> dict[str, Any]:
        """Its fields."""


@pass_context
def told(context: Context, event: Told, uscc: str = "") -> str:
    """What an event says, in the page's language; one without a sentence of its own says its name."""
    language = context["lang"]
    data = {**_item_of(event.data, uscc), **event.data}
    secret = event.type == "VoteCast" and data.get("grade") is None
    key = "VoteCast.secret" if secret else event.type
    sentence = catalogue(language).pgettext("sentence", key)
    if sentence == key:
        return word(language, "event", event.type)
    return _PLACEHOLDER.sub(lambda hit: _shown(context, event.type, hit[1], data.get(hit[1])), sentence)


@pass_context
def figured(context: Context, figures: Mapping[str, str]) -> list[tuple[str, str]]:
    """The figures of a finding with their names, codes as words."""
    language = context["lang"]
    apart = ", " if language == "en" else "、"
    found = []
    for name, value in figures.items():
        own = word(language, "figure", name)
        label = own if own != name else word(language, "field", name)
        if name in FIGURES:
            value = apart.join(_named(context, FIGURES[name], one) for one in value.split(", "))
        elif name == "threshold":
            value = percent(value)
        found.append((label, yuan(value) if _AMOUNT.fullmatch(value) else value))
    return found


def _named(context: Context, kind: str, code: str) -> str:
    """The word for a code; a missing material or figure may be either."""
    said = word(context["lang"], kind, code)
    return said if said != code else word(context["lang"], "field", code)


def _item_of(data: Mapping[str, Any], uscc: str) -> dict[str, Any]:
    """What an event about many enterprises says of this one."""
    return next((one for one in data.get("items", ()) if uscc and one.get("uscc") == uscc), {})


def _shown(context: Context, kind: str, name: str, value: Any) -> str:
    language = context["lang"]
    if value is None or value == "":
        return "—"
    if isinstance(value, list | tuple):
        return (", " if language == "en" else "、").join(_shown(context, kind, name, one) for one in value)
    if isinstance(value, Mapping):
        parts = (f"{word(language, 'grade', key)} {number}" for key, number in value.items())
        return (", " if language == "en" else "、").join(parts)
    if name == "by" and kind == "ClaimRejected":
        return word(language, "value", value)
    if name in ORGANISATIONS:
        return str(context.call(context["organisation"], value))
    if name == "rule":
        known = context["scheme"].rules.get(value)
        return str(getattr(known, language)) if known else str(value)
    if name == "reason" and kind.endswith("Held"):
        return word(language, "reason", value)
    if name in RATES:
        return percent(value)
    if name in CODES:
        return word(language, "value", value)
    if name in CONTEXTS:
        return word(language, CONTEXTS[name], value)
    text = str(value)
    return yuan(text) if _AMOUNT.fullmatch(text) else text
