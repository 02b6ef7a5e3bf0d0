"""The small pieces that cells of tables are made of, as filters: plain functions, for a page has a thousand cells."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from jinja2.utils import url_quote
from markupsafe import Markup, escape

from services.gateway.console.words import word
from shared.clock import SHANGHAI
from shared.money import format_yuan
from shared.scheme.refusals import Language

_TONES: Final = {
    "ok": ("●", (
        "admitted", "rated", "financed", "covered", "repaid", "compensated", "approved", "settled", "active", "done",
        "accepted", "pass", "consented", "ready", "closed_ok", "approve", "valid", "matched", "cast",
    )),
    "warn": ("◐", (
        "referred", "returned", "in_review", "awaiting_consent", "pushed", "claimed", "verified", "instructed", "due",
        "held", "waived", "flag", "running", "queued", "quarantined", "duplicate", "partial", "open",
    )),
    "bad": ("▲", (
        "refused", "declined", "vetoed", "exhausted", "rejected", "paused", "overdue", "fail", "failed", "unreadable",
        "terminated", "barred", "reject", "late", "missing", "differs",
    )),
}  # fmt: skip
_TONE_OF: Final = {code: (tone, sign) for tone, (sign, codes) in _TONES.items() for code in codes}


def filters(language: Language) -> dict[str, Any]:
    """The pieces by name, in one language."""
    return {
        "badge": partial(_badge, language),
        "dated": _dated,
        "enterprise": _enterprise,
        "firm": _firm,
        "loan_link": _loan_link,
        "money": _money,
        "org": _org,
        "rule": _rule,
        "yuan": yuan,
        "day": day,
        "moment": moment,
        "percent": percent,
    }


@pass_context
def organisation(context: Context, identifier: str | None) -> str:
    """An organisation's name in the page's language, else its id."""
    return str(context["names"].get(identifier, identifier)) if identifier else ""


@pass_context
def _org(context: Context, identifier: str | None) -> Markup | str:
    if not identifier:
        return ""
    return Markup(f'<span class="org">{escape(context["names"].get(identifier, identifier))}</span>')


@lru_cache(1_000)
def _badge(language: Language, value: str | None, context: str) -> Markup | str:
    """The word for a state with its sign, for those who do not see colours."""
    if not value:
        return ""
    tone, sign = _TONE_OF.get(value, ("mute", "○"))
    said = escape(word(language, context, value))
    return Markup(f'<span class="badge badge--{tone}"><i aria-hidden="true">{sign}</i>{said}</span>')


@lru_cache(1_000)
def _dated(value: date | str | None) -> Markup:
    shown = escape(day(value))
    return Markup(f'<time datetime="{shown}">{shown}</time>')


def _enterprise(uscc: str, name: str = "") -> Markup:
    code = escape(uscc)
    shown = f"{escape(name)}<small>{code}</small>" if name else code
    return Markup(f'<a class="enterprise" href="/cases/{code}">{shown}</a>')


@pass_context
def _firm(context: Context, uscc: str | None, names: Mapping[str, str]) -> Markup | str:
    """An enterprise by the name that is known, with a link for those who may open its file."""
    if not uscc:
        return ""
    name = names.get(uscc, "")
    return _enterprise(uscc, name) if context["may"]("page.case") else name or uscc


@pass_context
def _loan_link(context: Context, loan_no: str | None) -> Markup | str:
    if not loan_no:
        return ""
    if not context["may"]("page.loans"):
        return loan_no
    return Markup(f'<a href="/loans/{escape(url_quote(loan_no))}">{escape(loan_no)}</a>')


@lru_cache(5_000, typed=True)
def _money(value: object) -> Markup:
    return Markup(f'<span class="money">{escape(yuan(value))}</span>')


def _rule(identifier: str) -> Markup:
    shown = escape(identifier)
    return Markup(f'<a class="rule" href="/scheme#{shown}"><code>{shown}</code></a>')


@lru_cache(5_000, typed=True)
def yuan(value: object) -> str:
    """An amount (fen, or yuan as a string) with thousands marked: ``5,000,000.00``."""
    if value is None or value == "":
        return "—"
    text = format_yuan(value) if isinstance(value, int) else str(value)
    whole, _, rest = text.partition(".")
    return f"{int(whole):,}.{rest or '00'}" if whole != "-0" else f"-0.{rest}"


@lru_cache(1_000, typed=True)
def percent(value: object) -> str:
    """A ratio as a percentage without needless zeros."""
    if value is None or value == "":
        return "—"
    return f"{(Decimal(str(value)) * 100).normalize():f}%"


def day(value: object) -> str:
    """A date as it is written in both languages."""
    return str(value)[:10] if value else "—"


def moment(value: object) -> str:
    """A moment in Asia/Shanghai to the minute."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M") if isinstance(at, datetime) else "—"
