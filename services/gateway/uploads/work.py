"""Uploaded tables of partner events, reported row by row by one gateway: one at a time an institution, kill or no."""

import asyncio
import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.business_days import announce_through
from services.gateway.documents.files import Files
from services.gateway.store import Standing, is_answer_to, keep_rows
from services.gateway.tables import upload_rows, uploads
from services.gateway.uploads.columns import Again, Cell, Column, Ids, data_of, lost_in, named, text_of
from services.gateway.uploads.sheets import rows_of
from shared.clock import business_date
from shared.contracts.registry import PARTNER_EVENTS
from shared.messaging.accounts import EVENT_BYTES
from shared.messaging.envelope import type_of
from shared.messaging.incoming import describe, sha256_of
from shared.messaging.leading import lead_when_free
from shared.messaging.service import Service
from shared.messaging.tables import receipts

log = logging.getLogger("riskpool.gateway")
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 3.0
RECEIPT_SECONDS = 30.0
AT_ONCE = 100
INSTITUTIONS_AT_ONCE = 4
REJECTED = ("refused", "unreadable")
LARGEST_BYTES = EVENT_BYTES - 2048  # of data; the rest is for its envelope
_LOCK = 0x75706C6F616473  # "uploads": who holds it reports them


@dataclass(frozen=True)
class Line:
    """One row of a table: its place in the file, its cells as text, its event id and data, or what is wrong with it.

    ``content`` is the digest of its data; ``again``: its id stands in a line above it, for the same content or another.
    """

    number: int
    cells: list[str]
    event_id: str
    data: dict[str, Any]
    content: bytes
    problem: str = ""
    again: Again = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a line."""

    outcome: str
    rule: str | None = None
    detail: str | None = None


MISMATCH = Outcome("refused", "idempotency.mismatch")


class NoReceipt(Exception):
    """Some receipts did not come: the lines are reported again later."""


def lines_of(name: str, columns: list[Column], rows: Iterable[tuple[int, list[Cell]]]) -> Iterator[Line]:
    """Rows as events of one kind; the same file gives the same ids."""
    ids, own = Ids(), next((place for place, column in enumerate(columns) if column.name == "id"), None)
    for number, cells in rows:
        data = data_of(columns, cells)
        given = text_of(cells[own]) if own is not None and own < len(cells) else ""
        try:
            PARTNER_EVENTS[name].model_validate_json(json.dumps(data))
            printable = len(given) <= 200 and given.isprintable()
            problem = lost_in(columns, cells) or ("" if printable else "id: at most 200 printable characters")
            if not problem and len(json.dumps(data, ensure_ascii=False).encode()) > LARGEST_BYTES:
                problem = f"at most {LARGEST_BYTES // 1024} KiB an event"
        except ValidationError as error:
            problem = lost_in(columns, cells) or describe(error)
        content = sha256_of(name, data)
        again = ids.again(given, content) if given and not problem else ""
        yield Line(number, [text_of(cell) for cell in cells], ids.of(given, content), data, content, problem, again)


async def keep_reporting(service: Service) -> None:
    """Report what was uploaded as long as the gateway runs."""
    files = Files.from_environment()
    await lead_when_free(service.engine, _LOCK, lambda holding: _report_all(service, holding, files))


async def _report_all(service: Service, connection: AsyncConnection, files: Files) -> None:
    """Report what waits, several institutions at once, so that nobody waits for another's long or hindered table."""
    running: dict[tuple[str, str], asyncio.Task[None]] = {}
    began: dict[tuple[str, str], float] = {}
    first = select(uploads).where(uploads.c.state != "done").distinct(uploads.c.scheme, uploads.c.institution)
    oldest = first.order_by(uploads.c.scheme, uploads.c.institution, uploads.c.uploaded_at, uploads.c.id)
    try:
        while True:
            jobs = {(job.scheme, job.institution): job for job in await connection.execute(oldest)}
            running = {who: task for who, task in running.items() if not task.done()}
            for who in sorted(jobs.keys() - running, key=lambda who: began.get(who, 0.0)):
                if len(running) < INSTITUTIONS_AT_ONCE:
                    began[who] = asyncio.get_running_loop().time()
                    running[who] = asyncio.create_task(_report_or_wait(service, jobs[who], files))
            if running:
                await asyncio.wait(running.values(), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)


async def _report_or_wait(service: Service, job: Row[Any], files: Files) -> None:
    try:
        await report(service, job, files)
    except Exception as error:
        log.warning("an upload waits", extra={"upload": job.id, "error": repr(error)[:300]})
        await asyncio.sleep(AGAIN_SECONDS)


async def report(service: Service, job: Row[Any], files: Files) -> None:
    """Report an upload from where it stands."""
    path = files.path(job.sha256)
    lines = lines_of(job.event, named(job.event, job.headings), itertools.islice(rows_of(path, job.kind), 1, None))
    await announce_through(service, job.scheme, business_date(job.moment))
    while part := await asyncio.to_thread(lambda: list(itertools.islice(lines, AT_ONCE))):
        if fresh := [line for line in part if line.number > job.line]:
            await _report(service, job, fresh)
    async with service.engine.begin() as writing:
        await writing.execute(update(uploads).where(uploads.c.id == job.id).values(state="done"))


async def _report(service: Service, job: Row[Any], lines: list[Line]) -> None:
    """Have some lines decided, and keep what became of each in one transaction with how far the upload is."""
    outcomes = await _decide(service, job, lines)
    rows = [
        {
            "upload": job.id, "line": line.number, "event_id": line.event_id, "outcome": told.outcome,
            "rule": told.rule, "detail": told.detail, "cells": line.cells if told.outcome in REJECTED else None,
        }
        for line in lines
        if (told := outcomes[line.number])
    ]  # fmt: skip
    counts = Counter(told.outcome for told in outcomes.values())
    more = {name: uploads.c[name] + counts[name] for name in ("accepted", "duplicate", "refused", "unreadable")}
    async with service.engine.begin() as connection:
        await connection.execute(insert(upload_rows).values(rows).on_conflict_do_nothing())
        changed = update(uploads).where(uploads.c.id == job.id, uploads.c.line < lines[-1].number)
        await connection.execute(changed.values(line=lines[-1].number, state="running", **more))


async def _decide(service: Service, job: Row[Any], lines: list[Line]) -> dict[int, Outcome]:
    """What became of each line, by its number; NoReceipt when some are not answered yet."""
    outcomes = {line.number: Outcome("unreadable", None, line.problem) for line in lines if line.problem}
    sent = {line.event_id: line for line in lines if not line.problem and line.again != "other"}
    digests = {event_id: line.content for event_id, line in sent.items()}
    standing: dict[str, Standing] = {}
    if sent:
        async with service.engine.begin() as connection:
            standing = await keep_rows(connection, job.scheme, job.institution, job.id, digests)
    sent = {event_id: line for event_id, line in sent.items() if standing[event_id] != "other"}
    submit = service.bus.submit
    await asyncio.gather(
        *(
            submit(job.institution, job.scheme, job.event, _envelope(job, line), event_id)
            for event_id, line in sent.items()
        )
    )
    answers = await _receipts(service, job, {event_id: digests[event_id] for event_id in sent})
    for line in lines:
        if line.problem:
            continue
        if line.again == "other" or line.event_id not in sent:
            outcomes[line.number] = MISMATCH
        elif answers[line.event_id].outcome == "accepted" and (line.again or standing[line.event_id] == "known"):
            outcomes[line.number] = Outcome("duplicate")
        else:
            outcomes[line.number] = answers[line.event_id]
    return outcomes


def _envelope(job: Row[Any], line: Line) -> bytes:
    attributes = {
        "specversion": "1.0", "id": line.event_id, "source": f"/partners/{job.institution}", "scheme": job.scheme,
        "type": type_of(job.event), "time": job.moment.isoformat(), "datacontenttype": "application/json",
        "data": line.data,
    }  # fmt: skip
    return json.dumps(attributes, ensure_ascii=False).encode()


async def _receipts(service: Service, job: Row[Any], wanted: dict[str, bytes]) -> dict[str, Outcome]:
    """The receipts of events, waited for together by id and digest; NoReceipt when some do not come."""
    found: dict[str, Outcome] = {}
    deadline = asyncio.get_running_loop().time() + RECEIPT_SECONDS
    while len(found) < len(wanted):
        query = select(receipts).where(
            receipts.c.scheme == job.scheme, receipts.c.institution == job.institution, receipts.c.event_id.in_(wanted)
        )
        async with service.engine.connect() as connection:
            for row in await connection.execute(query):
                told = Outcome(row.outcome, row.rule, row.detail)
                found[row.event_id] = told if is_answer_to(row.body_sha256, wanted[row.event_id]) else MISMATCH
        if asyncio.get_running_loop().time() > deadline:
            raise NoReceipt(f"{len(wanted) - len(found)} receipts of {job.id} have not come")
        if len(found) < len(wanted):
            await asyncio.sleep(0.05)
    return found
