"""The accounts of a new installation: one for every organisation, all with one password that must be changed."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth import passwords
from services.gateway.auth.people import set_roles
from services.gateway.queries.organisations import OPERATOR
from services.gateway.tables import accounts
from shared.scheme.loader import Scheme

# Besides one account of every organisation: people by whom duties can be separated, and readers.
EXTRA: Final = (
    ("drc-officer", "drc", ("officer",)),
    ("finance-officer", "finance", ("officer",)),
    ("auditor", "drc", ("auditor",)),
    (OPERATOR, OPERATOR, ("officer", "admin")),
)
WHOLE: Final = ("officer", "head", "admin")


async def seed(
    connection: AsyncConnection, schemes: Iterable[Scheme], institutions: Mapping[str, Iterable[str]]
) -> str | None:
    """Make the first accounts; their password, or None when there are accounts already.

    ``institutions`` are ids by scheme. Logins are the organisation's id, ``id@scheme`` from the second scheme on.
    """
    if (await connection.execute(select(func.count()).select_from(accounts))).scalar_one():
        return None
    password = passwords.made()
    hashed = await passwords.hash_of(password)
    for number, scheme in enumerate(schemes):
        wanted = [(one.id, one.id, WHOLE) for one in scheme.organisations.values()]
        wanted += [(one, one, WHOLE) for one in sorted(set(institutions.get(scheme.id, ())))]
        wanted += [one for one in EXTRA if one[1] in scheme.organisations or one[1] == OPERATOR]
        for login, organisation, roles in wanted:
            full = login if number == 0 else f"{login}@{scheme.id}"
            row = {"id": secrets.token_hex(8), "login": full, "name": full, "password_hash": hashed}
            await connection.execute(insert(accounts).values(**row, must_change=True))
            await set_roles(connection, row["id"], scheme.id, organisation, roles)
    return password
