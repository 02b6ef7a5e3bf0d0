"""Forms not sent yet: one of a kind a person, saved by a button or while typing, gone when it is sent."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert

from services.gateway.auth.callers import Caller
from services.gateway.tables import drafts
from shared.messaging.service import Service


class Draft(NamedTuple):
    """What was filled in, and when it was saved."""

    fields: dict[str, list[str]]
    saved_at: datetime


async def save(service: Service, caller: Caller, form: str, posted: Mapping[str, Sequence[str]]) -> datetime | None:
    """Keep what is filled in; None for a caller who is no person."""
    if caller.account is None:
        return None
    fields = {name: list(values) for name, values in posted.items() if not name.startswith("_") and any(values)}
    now = service.clock.now()
    row = {"account": caller.account, "scheme": caller.scheme.id, "form": form, "fields": fields, "saved_at": now}
    write = insert(drafts).values(row)
    newest = {"fields": write.excluded.fields, "saved_at": write.excluded.saved_at}
    async with service.engine.begin() as connection:
        await connection.execute(write.on_conflict_do_update(index_elements=["account", "scheme", "form"], set_=newest))
    return now


async def find(service: Service, caller: Caller, form: str) -> Draft | None:
    """The person's draft of a form."""
    query = select(drafts.c.fields, drafts.c.saved_at).where(*_mine(caller, form))
    async with service.engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return Draft(row.fields, row.saved_at) if row else None


async def drop(service: Service, caller: Caller, form: str) -> None:
    """Forget it."""
    async with service.engine.begin() as connection:
        await connection.execute(delete(drafts).where(*_mine(caller, form)))


def _mine(caller: Caller, form: str) -> tuple[ColumnElement[bool], ...]:
    return drafts.c.account == caller.account, drafts.c.scheme == caller.scheme.id, drafts.c.form == form
