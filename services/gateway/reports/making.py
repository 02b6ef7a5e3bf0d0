"""One report made: read the past, fold it into the kind's figures, write the file."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.reports.as_excel import as_excel
from services.gateway.reports.as_pdf import as_pdf
from services.gateway.reports.as_word import as_word
from services.gateway.reports.asked import Asked
from services.gateway.reports.history import History, read_history
from services.gateway.reports.kinds import KINDS
from services.gateway.reports.report import Report
from services.gateway.reports.wording import Wording
from shared.messaging import tables
from shared.scheme.loader import Organisation, Rule, Scheme, Setting

Told = Callable[[int], Awaitable[None]]
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
LANGUAGES = ("zh", "en")
_WRITERS: dict[str, Callable[[Report, Wording], bytes]] = {"pdf": as_pdf, "xlsx": as_excel, "docx": as_word}


@dataclass(frozen=True)
class Made:
    """A report's file."""

    name: str
    content: bytes


async def make(connection: AsyncConnection, asked: Asked, form: str, told: Told) -> Made:
    """The file of a report; LookupError without an event at ``ends_at``, Unreconciled when the ledger disagrees."""

    async def reading(percent: int) -> None:
        await told(percent * 6 // 10)

    history = await read_history(connection, asked.scheme.id, asked.ends_at, reading)
    report, words = await asyncio.to_thread(build, history, asked)
    await told(75)
    return Made(f"{asked.name}.{form}", await asyncio.to_thread(_WRITERS[form], report, words))


def build(history: History, asked: Asked) -> tuple[Report, Wording]:
    """The report before it is written."""
    words = Wording.of(history, asked.scheme, asked.language)
    return KINDS[asked.kind].build(history, asked, words), words


async def scheme_of(connection: AsyncConnection, current: Scheme, version: str) -> Scheme:
    """The scheme as it was in a version, so that an old report is made with the rules of its day."""
    if version == current.version:
        return current
    table = tables.scheme_versions
    query = select(table.c.content).where(table.c.scheme == current.id, table.c.version == version)
    content = (await connection.execute(query)).scalar_one_or_none()
    if content is None:
        raise LookupError(f"version {version} of the scheme {current.id} is not known here")
    return Scheme(
        id=content["id"],
        name=content["name"],
        version=version,
        organisations={key: Organisation(**one) for key, one in content["organisations"].items()},
        settings={key: Setting(key, **one) for key, one in content["settings"].items()},
        rules={key: Rule(**one) for key, one in content["rules"].items()},
    )
