"""Reports asked for: checked, recorded, listed for those who may read them."""

import re
import uuid
from dataclasses import dataclass
from datetime import date

from sqlalchemy import BigInteger, ColumnElement, Row, and_, cast, extract, false, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.auth import record
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import may, needs
from services.gateway.queries.organisations import kind_of
from services.gateway.queries.paging import page
from services.gateway.reports.asked import Asked
from services.gateway.reports.history import last_moment
from services.gateway.reports.kinds import KINDS, Kind, own
from services.gateway.reports.making import LANGUAGES, MEDIA_TYPES
from services.gateway.reports.period import Period, parse_period
from services.gateway.tables import report_jobs
from services.gateway.views import Moment, Page, View
from shared.clock import business_date
from shared.messaging.service import Service
from shared.scheme.refusals import Language

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class ReportView(View):
    """A report asked for; ``ends_at`` is the position of the last event in it, ``sha256`` of its file when done."""

    id: str
    kind: str
    period: str
    organisation: str
    language: str
    format: str
    requested_by: str
    requested_at: Moment
    state: str
    progress: int
    ends_at: int
    scheme_version: str
    name: str
    sha256: str | None
    error: str | None


@dataclass(frozen=True)
class Wish:
    """What a caller asks for, as it was written."""

    kind: str
    period: str
    organisation: str = ""
    language: str = "zh"
    format: str = "pdf"


async def ask(service: Service, caller: Caller, wish: Wish) -> ReportView:
    """Record a report to be made of all events so far; the same one again is the first, unless that failed."""
    scheme = caller.scheme
    if wish.kind not in KINDS:
        raise malformed_field("kind", f"must be one of {', '.join(KINDS)}", scheme)
    kind = KINDS[wish.kind]
    needs(caller, f"reports.{kind.id}")
    for field, value, known in (("language", wish.language, LANGUAGES), ("format", wish.format, tuple(MEDIA_TYPES))):
        if value not in known:
            raise malformed_field(field, f"must be one of {', '.join(known)}", scheme)
    async with service.engine.begin() as connection:
        last = await last_moment(connection, scheme.id)
        if last is None:
            raise malformed_field("period", "there are no events yet", scheme)
        period = _period(caller, kind, wish.period, business_date(last.at))
        about = await _organisation(connection, caller, kind, wish.organisation)
        language: Language = "en" if wish.language == "en" else "zh"
        asked = Asked(kind.id, period, about, language, scheme, int(last.position))
        return await _recorded(connection, service, caller, asked, wish.format)


def _period(caller: Caller, kind: Kind, text: str, today: date) -> Period:
    try:
        period = parse_period(text)
    except ValueError as error:
        raise malformed_field("period", str(error), caller.scheme) from None
    if period.kind not in kind.periods:
        raise malformed_field("period", f"must be a {' or '.join(kind.periods)}", caller.scheme)
    if period.begin > today:
        raise malformed_field("period", "has not begun yet", caller.scheme)
    return period


async def _organisation(connection: AsyncConnection, caller: Caller, kind: Kind, wanted: str) -> str:
    """Forced to the caller's own where it has one; nothing for reports of the whole fund."""
    if not kind.about:
        return ""
    if mine := own(caller, kind):
        return mine
    if not _ID.fullmatch(wanted) or await kind_of(connection, caller.scheme, wanted) not in kind.about:
        raise malformed_field("organisation", f"must be a {' or '.join(kind.about)}", caller.scheme)
    return wanted


async def _recorded(
    connection: AsyncConnection, service: Service, caller: Caller, asked: Asked, form: str
) -> ReportView:
    facts = {
        "scheme": asked.scheme.id, "kind": asked.kind, "period": asked.period.text, "organisation": asked.organisation,
        "language": asked.language, "format": form, "ends_at": asked.ends_at, "scheme_version": asked.scheme.version,
    }  # fmt: skip
    same = select(report_jobs).where(
        *(report_jobs.c[name] == value for name, value in facts.items()), report_jobs.c.state != "failed"
    )
    row = (await connection.execute(same.limit(1))).one_or_none()
    if row is None:
        name, now = f"{asked.name}.{form}", service.clock.now()
        values = {
            **facts, "id": uuid.uuid4().hex, "requested_by": caller.organisation, "requested_at": now,
            "state": "queued", "name": name,
        }  # fmt: skip
        row = (await connection.execute(insert(report_jobs).values(values).returning(report_jobs))).one()
        await record.keep(connection, caller, now, f"reports.{asked.kind}", name)
    return _view(row)


async def report_list(
    connection: AsyncConnection, caller: Caller, limit: int, cursor: str | None
) -> Page[ReportView]:
    """The reports that a caller may read, newest first."""
    newest = cast(-1_000_000 * extract("epoch", report_jobs.c.requested_at), BigInteger)
    query = select(report_jobs).where(report_jobs.c.scheme == caller.scheme.id, _readable(caller))
    return await page(connection, query, [newest, report_jobs.c.id], _view, limit, cursor)


async def one_report(connection: AsyncConnection, caller: Caller, identifier: str) -> ReportView:
    """A report; Problem 404 when there is none that this caller may read."""
    query = select(report_jobs).where(
        report_jobs.c.scheme == caller.scheme.id, report_jobs.c.id == identifier, _readable(caller)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise Problem(404, "unknown", "report", {"id": identifier[:64]}, scheme=caller.scheme)
    return _view(row)


def _readable(caller: Caller) -> ColumnElement[bool]:
    """Kinds by role; where a kind is about organisations like the caller, only the caller's own."""
    found: list[ColumnElement[bool]] = []
    for kind in KINDS.values():
        if may(caller, f"reports.{kind.id}"):
            mine = own(caller, kind)
            of_kind = report_jobs.c.kind == kind.id
            found.append(and_(of_kind, report_jobs.c.organisation == mine) if mine else of_kind)
    return or_(false(), *found)


def _view(row: Row[tuple[object, ...]]) -> ReportView:
    return ReportView.model_validate(dict(row._mapping))
