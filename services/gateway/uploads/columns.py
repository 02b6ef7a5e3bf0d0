"""A partner event as a row of a table: its columns, what a cell may hold, and the row as the event's data."""

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal

from services.gateway.console.words import word
from shared.contracts.base import PartnerEvent
from shared.contracts.registry import PARTNER_EVENTS

ID = "id"
Kind = Literal["text", "money", "rate", "day", "list", "statements"]
Again = Literal["", "same", "other"]
Cell = str | int | float | date | datetime | Decimal | None
_SPLIT = re.compile(r"[;；\n]")
_DAY = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?", re.ASCII)
# Groups are of three digits: "12,50" is somebody's 12.50, and never 1250.00.
_AMOUNT = re.compile(r"-?(\d+|\d{1,3}([,，]\d{3})+)(\.\d+)?", re.ASCII)
_FAILED = re.compile(r"#(N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA)")
_EXACT_DIGITS = 15  # more of a number's digits Excel has already replaced by zeros
_FORMULA = re.compile(r"'([=+\-@\t\r])")
EXAMPLES: dict[Kind, str] = {
    "text": "", "money": "5000000.00", "rate": "0.0400", "day": "2026-06-30", "list": "A;B",
    "statements": "A-0001 | 2026-06-01 | 已发催收函",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One field of an event; ``zh`` is its Chinese heading, which is taken as well as its name."""

    name: str
    zh: str
    kind: Kind
    required: bool


NOTE = Column("#", "#", "text", False)  # a column of an error file that tells, and is not reported


class BadHeading(Exception):
    """The first row does not name the event's fields; the message says which heading is wrong."""


@cache
def columns_of(name: str) -> tuple[Column, ...]:
    """An event's columns in the order of its fields, behind the id that is optional."""
    model: type[PartnerEvent] = PARTNER_EVENTS[name]
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    fields = [
        Column(field, word("zh", "field", field), _kind(told), field in required)
        for field, told in schema["properties"].items()
    ]
    return (Column(ID, "编号", "text", False), *fields)


def _kind(told: dict[str, Any]) -> Kind:
    told = next((one for one in told.get("anyOf", ()) if one.get("type") != "null"), told)
    if told.get("type") == "array":
        return "list" if told["items"].get("type") == "string" else "statements"
    if told.get("format") == "date":
        return "day"
    pattern = told.get("pattern", "")
    return "money" if r"\.[0-9]{2}$" in pattern else "rate" if r"{1,8}" in pattern else "text"


def headed(name: str, headings: list[str]) -> list[Column]:
    """The columns that headings name, in their order; BadHeading for one that is unknown, missing or there twice.

    A heading that begins with "# " is a note, as an error file has them, so that it can be uploaded again.
    """
    known = {key: column for column in columns_of(name) for key in (column.name, column.zh)}
    found = []
    for heading in headings:
        if heading.startswith("# "):
            found.append(NOTE)
            continue
        if heading not in known:
            raise BadHeading(f"{heading or '(空)'}")
        found.append(known[heading])
    names = [column.name for column in found if column is not NOTE]
    needed = [column for column in columns_of(name) if column.required]
    missing = [f"{column.name}（{column.zh}）" for column in needed if column.name not in names]
    if missing or len(set(names)) < len(names):
        raise BadHeading("、".join(missing) or "重复的列")
    return found


def named(name: str, names: list[str]) -> list[Column]:
    """The columns that a table was found to have, by the names that were kept of them."""
    known = {column.name: column for column in (*columns_of(name), NOTE)}
    return [known[one] for one in names]


def data_of(columns: list[Column], cells: list[Cell]) -> dict[str, Any]:
    """A row as the event's data, empty cells left out; what cannot be right stays, for the contract to refuse."""
    values = {column.name: _value(column.kind, cell) for column, cell in zip(columns, cells, strict=False)}
    return {name: value for name, value in values.items() if value not in ("", []) and name not in (ID, NOTE.name)}


def lost_in(columns: list[Column], cells: list[Cell]) -> str:
    """What a row's cells lost before they came here, and what to do; nothing when they are whole."""
    if more := [text for cell in cells[len(columns) :] if (text := text_of(cell))]:
        return (
            f"单元格多于表头（多出：{'、'.join(more)}）。含逗号的内容请加引号。 / More cells than headings. "
            "Put what holds a comma into quotes."
        )[:1000]
    for column, cell in zip(columns, cells, strict=False):
        if _FAILED.fullmatch(text_of(cell)):
            return f"{column.name}: 公式出错，请改填其应有的值。 / A formula failed here. Write what it should give."
        number = isinstance(cell, int | float) and abs(cell) >= 10**_EXACT_DIGITS
        if number or (column.kind == "text" and isinstance(cell, date)):
            return (
                f"{column.name}: Excel 已将该单元格改为数字或日期，原文可能已失真。请将该列设为文本后重新填写。 / "
                "Excel made a number or a date of this cell and may have changed it. Format the column as text and "
                "write it again."
            )
    return ""


def text_of(cell: Cell) -> str:
    """A cell as text."""
    if isinstance(cell, datetime):
        cell = cell.date()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return _FORMULA.sub(r"\1", "" if cell is None else str(cell).strip(), count=1)


def _value(kind: Kind, cell: Cell) -> Any:
    text = text_of(cell)
    match kind:
        case "money":
            return _money(text)
        case "day":
            return _day(text)
        case "list":
            return [one.strip() for one in _SPLIT.split(text) if one.strip()]
        case "statements":
            lines = [[part.strip() for part in line.split("|", 2)] for line in text.splitlines() if line.strip()]
            return [dict(zip(("loan_no", "as_of", "text"), line, strict=False)) for line in lines]
    return text


def _day(text: str) -> str:
    """A date as the contract has it, where year, month and day are told in this order."""
    told = _DAY.fullmatch(text)
    return f"{told[1]}-{told[2]:0>2}-{told[3]:0>2}" if told else text


def _money(text: str) -> str:
    """An amount of yuan as the contract has it, where it is exact to the fen."""
    if not _AMOUNT.fullmatch(text):
        return text
    amount = Decimal(text.replace(",", "").replace("，", ""))
    try:
        whole = amount.quantize(Decimal("0.01"))
    except InvalidOperation:  # more digits than a decimal holds
        return text
    return f"{whole:f}" if whole == amount else text


class Ids:
    """The event ids of a file's rows, of which it keeps digests only; to be asked for every row in its order.

    Rows without an id have one made: the same content, the n-th time in a file, has always the same.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._above: dict[bytes, bytes] = {}

    def of(self, given: str, content: bytes) -> str:
        """A row's event id, by the digest of its content."""
        digest = content[:16]
        number = self._seen[digest] = self._seen.get(digest, 0) + 1
        return given or f"file-{digest.hex()}" + (f"-{number}" if number > 1 else "")

    def again(self, given: str, content: bytes) -> Again:
        """Whether an id stands in a row above, for the same content or another."""
        digest, place = content[:16], hashlib.sha256(given.encode()).digest()[:16]
        before = self._above.setdefault(place, digest)
        return "" if before is digest else "same" if before == digest else "other"
