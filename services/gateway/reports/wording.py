"""How a report speaks: its language, names of organisations and enterprises, amounts and dates as text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from services.gateway.console.words import say, word
from services.gateway.reports.history import History
from services.gateway.reports.period import Period
from services.gateway.reports.report import Cell, Money
from shared.contracts import referral, review
from shared.money import format_yuan
from shared.scheme.loader import Scheme
from shared.scheme.refusals import Language

# Somebody may have typed a person's identity number into a reason or a name: a report never shows one.
_IDENTITY = re.compile(
    r"(?<![0-9A-Za-z])[1-8][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9]{4}[0-9Xx](?![0-9A-Za-z])"
)
_ORDINALS = {1: ("一", "first"), 2: ("二", "second"), 3: ("三", "third"), 4: ("四", "fourth")}


@dataclass(frozen=True)
class Wording:
    """One language, one scheme, and the names that the events gave."""

    language: Language
    scheme: Scheme
    institutions: dict[str, str]
    enterprises: dict[str, str]

    @classmethod
    def of(cls, history: History, scheme: Scheme, language: Language) -> "Wording":
        """The names as they were at the history's end."""
        signed = {event.institution: event.name for _, event in history.of(review.AgreementSigned)}
        named = {event.uscc: event.application.name for _, event in history.of(referral.EnterpriseReferred)}
        named |= {event.uscc: event.application.name for _, event in history.of(referral.ReferralAmended)}
        opened = {event.uscc: event.name for _, event in history.of(review.CaseOpened)}
        return cls(language, scheme, signed, {**opened, **named})

    def __call__(self, text: str, **values: object) -> str:
        """A sentence of the catalogue by its Chinese text."""
        return say(self.language, text, **values)

    def word(self, context: str, code: object) -> str:
        """The word for a code."""
        return word(self.language, context, code)

    @property
    def fund(self) -> str:
        """The fund's name; a scheme has one in its own language only."""
        return self.scheme.name if self.language == "zh" else self("风险补偿资金")

    def organisation(self, identifier: str | None) -> str:
        """An organisation's name, else its id."""
        if not identifier:
            return ""
        known = self.scheme.organisations.get(identifier)
        if known is None:
            return self.institutions.get(identifier, identifier)
        return known.en or known.name if self.language == "en" else known.name

    def organisations(self, identifiers: Iterable[str]) -> str:
        """Several organisations' names."""
        return ("、" if self.language == "zh" else ", ").join(self.organisation(one) for one in identifiers)

    def enterprise(self, uscc: str) -> str:
        """An enterprise's name, else its code."""
        return self.enterprises.get(uscc) or uscc

    def period(self, period: Period) -> str:
        """A period in words."""
        chinese, english = _ORDINALS[period.number]
        match period.kind:
            case "year":
                return f"{period.year}年度" if self.language == "zh" else f"{period.year}"
            case "half":
                zh = f"{period.year}年{'上' if period.number == 1 else '下'}半年"
                return zh if self.language == "zh" else f"the {english} half of {period.year}"
        return f"{period.year}年第{chinese}季度" if self.language == "zh" else f"the {english} quarter of {period.year}"

    def date(self, day: date) -> str:
        """A date as it is written in a text."""
        return f"{day.year}年{day.month}月{day.day}日" if self.language == "zh" else f"{day.day} {day:%B %Y}"

    def shown(self, cell: Cell) -> str:
        """A cell as text, for formats that have no typed cells."""
        match cell:
            case None:
                return ""
            case Money():
                return yuan(cell.fen)
            case Decimal():
                return percent(cell)
            case date():
                return cell.isoformat()
            case int():
                return f"{cell:,}"
        return plain(cell)


def yuan(fen: int) -> str:
    """An amount with thousands marked."""
    text = format_yuan(abs(fen))
    whole, _, rest = text.partition(".")
    return f"{'-' if fen < 0 else ''}{int(whole):,}.{rest}"


def percent(ratio: Decimal) -> str:
    """A ratio as a percentage without needless zeros."""
    return f"{(ratio * 100).normalize():f}%"


def plain(text: str) -> str:
    """Text as it may stand in a file: no control characters, no identity number of a person."""
    printable = "".join(ch if ch >= " " or ch in "\n\t" else " " for ch in text)
    return _IDENTITY.sub(lambda found: found[0][:4] + "*" * 10 + found[0][-4:], printable)
