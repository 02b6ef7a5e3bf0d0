"""Documents as their readers may see them: those of a case or loan that the caller takes part in."""

from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.projections.tables import case_parties, cases
from services.gateway.queries.loans import one_loan
from services.gateway.queries.paging import page
from services.gateway.tables import documents
from services.gateway.views import Moment, Page, View
from shared.uscc import problem_with

MOST_SHOWN = 200
RECOMMENDERS = ("department", "township")


class DocumentView(View):
    """An uploaded file; its content is given out only while ``state`` is ready (else quarantined or refused)."""

    id: str
    about: str
    kind: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    state: str
    organisation: str
    uploaded_at: Moment


async def may_see(connection: AsyncConnection, caller: Caller, about: str) -> bool:
    """Whether a case (by credit code) or loan is there for the caller."""
    query = select(cases.c.uscc).where(cases.c.scheme == caller.scheme.id, cases.c.uscc == about)
    if caller.party is not None:
        part = select(case_parties.c.uscc).where(
            case_parties.c.scheme == caller.scheme.id,
            case_parties.c.institution == caller.party,
            case_parties.c.uscc == about,
        )
        query = query.where(part.exists())
    if (await connection.execute(query)).first() is not None:
        return True
    return await one_loan(connection, caller.scheme.id, about, caller.party) is not None


async def may_prepare(connection: AsyncConnection, caller: Caller, about: str) -> bool:
    """Whether a recommender may collect materials of an enterprise that nobody has referred yet."""
    if caller.kind not in RECOMMENDERS or problem_with(about) is not None:
        return False
    query = select(cases.c.uscc).where(cases.c.scheme == caller.scheme.id, cases.c.uscc == about)
    return (await connection.execute(query)).first() is None


async def document_list(
    connection: AsyncConnection,
    caller: Caller,
    about: str,
    limit: int = MOST_SHOWN,
    cursor: str | None = None,
    *,
    seen: bool = False,
) -> Page[DocumentView]:
    """The documents of a case or loan in the order of their ids; none where the caller sees neither.

    ``seen`` says that the caller has been shown the case or loan.
    """
    query = _query(caller).where(documents.c.about == about)
    if not seen and not await may_see(connection, caller, about):
        # Collected for a referral that is not sent yet: only for those who collect.
        query = query.where(documents.c.organisation == caller.organisation)
    return await page(connection, query, [documents.c.id], _view, limit, cursor)


async def one_document(connection: AsyncConnection, caller: Caller, identifier: str) -> DocumentView | None:
    """A document that the caller may see, or None."""
    row = (await connection.execute(_query(caller).where(documents.c.id == identifier))).one_or_none()
    if row is None:
        return None
    own = row.organisation == caller.organisation
    return _view(row) if own or await may_see(connection, caller, row.about) else None


def _query(caller: Caller) -> Select[Any]:
    return select(documents).where(documents.c.scheme == caller.scheme.id)


def _view(row: Row[Any]) -> DocumentView:
    return DocumentView.model_validate(dict(row._mapping))
