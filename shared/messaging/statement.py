"""One SQL statement for everything that a batch changes: a common table expression for each table, rows as arrays."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.messaging.chain import Head

_FENCE = """update schemes s set written = s.written + 1, position = f.position, sha256 = f.sha256, rows = f.rows,
        rows_sha256 = f.rows_sha256
    from unnest({}::text[], {}::bigint[], {}::bigint[], {}::bytea[], {}::bigint[], {}::bytea[])
        f(scheme, written, position, sha256, rows, rows_sha256)
    where s.scheme = f.scheme and s.written = f.written returning s.scheme"""


@dataclass(frozen=True)
class Part:
    """Rows for one table: ``sql`` has a ``{}`` for the array of each of their columns."""

    name: str
    sql: str
    rows: Sequence[tuple[Any, ...]]


def fence(heads: dict[str, Head]) -> Part:
    """Every scheme's new end, provided that nobody wrote it since its ``written`` was read."""
    rows = [
        (scheme, head.written, head.position, head.sha256, head.rows, head.rows_sha256)
        for scheme, head in sorted(heads.items())
    ]
    return Part("fence", _FENCE, rows)


_ARRAY = re.compile(r"\{\}::(\w+)\[\]")
_known: dict[tuple[str, ...], str] = {}


async def write(connection: AsyncConnection, parts: Sequence[Part]) -> None:
    """Send all parts as one statement: all of it is written or, when a scheme has another writer, nothing."""
    parts = [part for part in parts if part.rows]
    if not parts:
        return
    arguments: list[Any] = []
    columns: list[str] = []
    for part in parts:
        for kind, column in zip(_ARRAY.findall(part.sql), zip(*part.rows, strict=True), strict=True):
            sql, sent = _packed(kind, column)
            columns.append(sql)
            arguments += sent
    key = (*(part.name for part in parts), *columns)
    statement = _known.get(key) or _known.setdefault(key, _sql(parts, columns))
    if parts[0].name == "fence":
        arguments.append(len(parts[0].rows))
    await connection.exec_driver_sql(statement, tuple(arguments))


def _packed(kind: str, column: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """A column's SQL with a ``{}`` for each argument, and those: the driver is quicker with one text than with many."""
    if kind == "text" and None not in column:
        joined = "\x1f".join(column)
        if joined and joined.count("\x1f") == len(column) - 1:
            return "string_to_array({}::text, E'\\x1f')", [joined]
    if kind == "timestamptz" and column.count(column[0]) == len(column):
        return "array_fill({}::timestamptz, array[{}::int])", [column[0], len(column)]
    return f"{{}}::{kind}[]", [list(column)]


def _sql(parts: Sequence[Part], columns: Sequence[str]) -> str:
    given = iter(columns)
    texts = [f"{part.name} as ({_ARRAY.sub(lambda _: next(given), part.sql)})" for part in parts]
    fenced = "fenced((select count(*) from fence), {}::bigint)" if parts[0].name == "fence" else "true"
    numbers = itertools.count(1)
    return re.sub(r"\{\}", lambda _: f"${next(numbers)}", f"with {', '.join(texts)} select {fenced}")
