"""What every message shares: the wire types of money, ratios, dates and text, and the three kinds of message."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)

from shared.money import format_rate, format_yuan, parse_yuan

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_RATE = re.compile(r"(0|[1-9][0-9]{0,2})(\.[0-9]{1,8})?", re.ASCII)


def _to_fen(value: object, info: ValidationInfo) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and info.mode == "python":
        return value
    if not isinstance(value, str):
        raise ValueError('an amount is a string of yuan with two decimals, such as "5000000.00", not a number')
    return parse_yuan(value)


def _to_rate(value: object, info: ValidationInfo) -> Decimal:
    if isinstance(value, Decimal) and info.mode == "python":
        return value
    if not isinstance(value, str) or not _RATE.fullmatch(value):
        raise ValueError('a ratio is a decimal string, such as "0.50"')
    return Decimal(value)


def _to_day(value: object, info: ValidationInfo) -> date:
    if isinstance(value, date) and info.mode == "python":
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("a date is written YYYY-MM-DD")
    return date.fromisoformat(value)


def _not_negative(fen: int) -> int:
    if fen < 0:
        raise ValueError("the amount must not be negative")
    return fen


def _positive(fen: int) -> int:
    if fen <= 0:
        raise ValueError("the amount must be above zero")
    return fen


def _printable(text: str) -> str:
    if any((ch < " " and ch not in "\n\t") or "\ud800" <= ch <= "\udfff" or ch == "\x7f" for ch in text):
        raise ValueError("control characters are not allowed")
    return text


def _amount_schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": ["5000000.00"]})


_YUAN_OUT = PlainSerializer(format_yuan, return_type=str)
SignedFen = Annotated[int, BeforeValidator(_to_fen), _YUAN_OUT, _amount_schema(r"^-?(0|[1-9][0-9]{0,12})\.[0-9]{2}$")]
Fen = Annotated[SignedFen, AfterValidator(_not_negative), _amount_schema(r"^(0|[1-9][0-9]{0,12})\.[0-9]{2}$")]
PositiveFen = Annotated[SignedFen, AfterValidator(_positive), _amount_schema(r"^(0|[1-9][0-9]{0,12})\.[0-9]{2}$")]
Rate = Annotated[
    Decimal,
    BeforeValidator(_to_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0|[1-9][0-9]{0,2})(\.[0-9]{1,8})?$", "examples": ["0.50"]}),
]
Day = Annotated[date, BeforeValidator(_to_day), WithJsonSchema({"type": "string", "format": "date"})]
Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Number = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
Half = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}H[12]$")]
Product = Literal["bank", "guarantee", "insurance"]
Grade = Literal["high", "medium", "low", "decline"]
OrganisationKind = Literal[
    "drc", "finance", "government", "department", "township", "bank", "lender", "guarantor", "insurer", "custodian"
]


class Shape(BaseModel):
    """A frozen piece of a message; unknown fields are ignored on reading (contract.md section 2)."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Why(Shape):
    """Why a decision is as it is: the rule, its clause in the source document and the figures it used."""

    rule: str
    clause: str = ""
    figures: dict[str, str] = {}


class Finding(Shape):
    """One rule checked: ``figures`` are the values it was decided on, ready to be shown."""

    rule: str
    clause: str
    result: Literal["pass", "fail", "waived", "flag"]
    figures: dict[str, str] = {}


class Message(Shape):
    """A message of the contract; ``name`` is the class's own name and never changes inside a version."""

    _about: ClassVar[tuple[str, ...]] = (
        "uscc",
        "loan_no",
        "policy_no",
        "disbursement_id",
        "institution",
        "half",
        "notice_no",
        "department",
        "bank_ref",
    )

    @property
    def about(self) -> str:
        """CloudEvents ``subject``: the business id that the message is about, or empty."""
        fields: dict[str, Any] = self.__dict__
        return next((str(fields[key]) for key in self._about if fields.get(key)), "")

    @property
    def case(self) -> str:
        """The credit code of the case that the message belongs to (``correlationid``), or empty."""
        return str(self.__dict__.get("uscc") or "")


class Event(Message):
    """A past fact that a service announces; ``service`` is its only publisher."""

    service: ClassVar[str]
    why: Why | None = None


class Command(Message):
    """A request of an organisation; ``by`` are the kinds of organisation that may make it (contract.md section 5)."""

    service: ClassVar[str]
    by: ClassVar[tuple[OrganisationKind, ...]]

    @property
    def destination(self) -> str:
        """The service that answers this command."""
        return self.service


class PartnerEvent(Message):
    """A fact that an institution reports; ``owner`` takes it, ``senders`` are the kinds that may send it."""

    owner: ClassVar[str]
    senders: ClassVar[tuple[OrganisationKind, ...]]
