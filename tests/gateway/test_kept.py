"""What pages keep until the next event, and the connections that they read with."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.console.kept import MOST, Kept
from services.gateway.reads import reads_of


class Books:
    """Something that changes with every event."""

    def __init__(self) -> None:
        self.asked = 0

    async def read(self) -> int:
        self.asked += 1
        return self.asked


async def test_an_answer_is_kept_by_its_key_until_the_next_event() -> None:
    kept, books = Kept(), Books()
    assert [await kept.of(7, "drc", books.read) for _ in range(3)] == [1, 1, 1]
    assert await kept.of(7, "finance", books.read) == 2
    assert await kept.of(8, "drc", books.read) == 3
    assert await kept.of(7, "drc", books.read) == 4, "what is known of another moment is not shown"


async def test_what_was_read_while_something_happened_is_not_kept() -> None:
    kept, books = Kept(), Books()

    async def overtaken() -> str:
        await kept.of(8, "drc", books.read)
        return "before"

    assert await kept.of(7, "drc", overtaken) == "before"
    assert await kept.of(8, "drc", books.read) == 1


async def test_no_more_is_kept_than_a_bound() -> None:
    kept, books = Kept(), Books()
    for key in range(MOST + 1):
        await kept.of(1, key, books.read)
    assert await kept.of(1, 0, books.read) == MOST + 2


async def test_a_connection_for_reading_cannot_write(engine: AsyncEngine) -> None:
    async with reads_of(engine).connect() as connection:
        assert (await connection.execute(text("select count(*) from events"))).scalar_one() == 0
        with pytest.raises(DBAPIError, match="read-only"):
            await connection.execute(text("delete from events"))
