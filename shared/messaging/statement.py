"""One SQL statement for everything that a batch changes: a common table expression for each table, rows as arrays."""

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


_known: dict[tuple[str, ...], str] = {}


async def write(connection: AsyncConnection, parts: Sequence[Part]) -> None:
    """Send all parts as one statement: all of it is written or, when a scheme has another writer, nothing."""
    parts = [part for part in parts if part.rows]
    if not parts:
        return
    key = tuple(part.name for part in parts)
    sql = _known.get(key) or _known.setdefault(key, _sql(parts))
    arguments: list[Any] = [list(column) for part in parts for column in zip(*part.rows, strict=True)]
    if parts[0].name == "fence":
        arguments.append(len(parts[0].rows))
    await connection.exec_driver_sql(sql, tuple(arguments))


def _sql(parts: Sequence[Part]) -> str:
    number, texts = 1, []
    for part in parts:
        count = part.sql.count("{}")
        texts.append(f"{part.name} as ({part.sql.format(*(f'${n}' for n in range(number, number + count)))})")
        number += count
    fenced = f"fenced((select count(*) from fence), ${number}::bigint)" if parts[0].name == "fence" else "true"
    return f"with {', '.join(texts)} select {fenced}"
