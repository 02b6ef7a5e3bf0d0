"""Cursors lead through a list once, and nothing else is taken for one."""

import base64
import json

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.policy import GatewayPolicy
from services.gateway.queries.cases import case_list
from services.gateway.queries.paging import BadCursor
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.story import SCHEME, take

POLICY = load_scheme("yanqing").policy(GatewayPolicy)


async def pages(connection: AsyncConnection, limit: int, cursor: str | None = None) -> list[list[str]]:
    found = await case_list(
        connection, SCHEME, POLICY, status=None, recommender=None, party=None, limit=limit, cursor=cursor
    )
    codes = [[case.uscc for case in found.items]]
    return codes + (await pages(connection, limit, found.next_cursor) if found.next_cursor else [])


def flat(found: list[list[str]]) -> list[str]:
    return [code for page in found for code in page]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
async def test_every_case_is_on_exactly_one_page(connection: AsyncConnection, limit: int) -> None:
    codes = [f"9111{n}" for n in range(7)]
    await take(
        connection,
        [
            story.referred(code, on=f"2026-01-{10 + n // 3}", sector="other" if n % 2 else "sci_tech")
            for n, code in enumerate(codes)
        ],
    )
    found = await pages(connection, limit)
    assert sorted(flat(found)) == codes
    assert all(len(page) == limit for page in found[:-1])
    assert flat(found) == flat(await pages(connection, 500))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1],
        [0, "2026-01-01"],
        ["0", "2026-01-01", "x"],
        [0, "tomorrow", "x"],
        [0, "2026-01-01", "a\0b"],
        [2**63, "2026-01-01", "x"],
        [True, "2026-01-01", "x"],
        {"a": 1},
        "text",
        None,
    ],
)
async def test_a_cursor_that_no_page_gave_out_is_refused(connection: AsyncConnection, values: object) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).decode()
    with pytest.raises(BadCursor):
        await pages(connection, 5, cursor)


@pytest.mark.parametrize("cursor", ["", "%%%", "abc", "é", "e30=e30="])
async def test_a_cursor_that_is_no_cursor_is_refused(connection: AsyncConnection, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await pages(connection, 5, cursor)
