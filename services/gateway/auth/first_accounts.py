"""The accounts of a new installation: one for every organisation, all with one password that must be changed."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth import passwords
from services.gateway.queries.organisations import OPERATOR
from services.gateway.tables import accounts, memberships
from shared.scheme.loader import Scheme

# Besides one account of every organisation: people by whom duties can be separated, and readers.
EXTRA: Final = (
    ("drc-officer", "经办员", "drc", ("officer",)),
    ("finance-officer", "经办员", "finance", ("officer",)),
    ("auditor", "审计员", "drc", ("auditor",)),
    (OPERATOR, "运维员", OPERATOR, ("officer", "admin")),
)
NAME: Final = "初始账号"
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
        whole = [*scheme.organisations, *sorted(set(institutions.get(scheme.id, ())))]
        wanted: list[tuple[str, str, str, tuple[str, ...]]] = [(one, NAME, one, WHOLE) for one in whole]
        wanted += [one for one in EXTRA if one[2] in scheme.organisations or one[2] == OPERATOR]
        for login, name, organisation, roles in wanted:
            full = login if number == 0 else f"{login}@{scheme.id}"
            row = {"id": secrets.token_hex(8), "login": full, "name": name, "password_hash": hashed}
            await connection.execute(insert(accounts).values(**row, must_change=True))
            place = {"account": row["id"], "scheme": scheme.id, "organisation": organisation}
            await connection.execute(insert(memberships).values(**place, roles=list(roles)))
    return password
