"""What every message shares: the wire types of money, ratios, dates and text, and the three kinds of message."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, ParamSpec, Self, TypeVar

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
from pydantic._internal._model_construction import ModelMetaclass

from shared.contracts.writing import writer_of
from shared.money import format_rate, format_yuan, parse_yuan

P = ParamSpec("P")
S = TypeVar("S", bound="Shape")
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


_BLANK: dict[type, dict[str, Any]] = {}  # of each shape every field in its order, with its default
_NAMES: dict[type, set[str]] = {}
_new, _fill = object.__new__, BaseModel.__dict__["__dict__"].__set__


class _Plain(ModelMetaclass):
    """Answers isinstance by the class alone: by way of ABCMeta, as pydantic does, it is what matching costs most."""

    __instancecheck__ = type.__instancecheck__


class Shape(BaseModel, metaclass=_Plain):
    """A frozen piece of a message; unknown fields are ignored on reading (contract.md section 2)."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _BLANK[cls] = {name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()}
        _NAMES[cls] = set(cls.model_fields)

    def __getattr__(self, name: str) -> Any:
        """What pydantic keeps beside the fields: of a shape that was made and not read, only asked for it is known."""
        if name == "__pydantic_fields_set__":
            return _NAMES[type(self)]
        if name in ("__pydantic_extra__", "__pydantic_private__"):
            return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def but(self, **changes: object) -> Self:
        """The same with these fields changed, which are known to be right: nothing is checked."""
        return _of(type(self), {**self.__dict__, **changes})

    def json_data(self) -> str:
        """Its JSON, a message's ``data``: ``json.dumps`` of ``model_dump(mode="json")`` with no spaces, to the byte."""
        return writer_of(type(self))(self.__dict__)


def made(shape: Callable[P, S], *_: P.args, **fields: P.kwargs) -> S:
    """A shape of fields that are known to be right, as a rule of ours worked them out: nothing is checked again.

    What comes from outside is checked where it is read. Checking costs ten times what the rules themselves cost.
    """
    cls: Any = shape
    made_so: S = _of(cls, {**_BLANK[cls], **fields})
    return made_so


def _of(cls: type[S], values: dict[str, Any]) -> S:
    shape = _new(cls)
    _fill(shape, values)
    return shape


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
        for key in self._about:
            if value := fields.get(key):
                return str(value)
        return ""

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
