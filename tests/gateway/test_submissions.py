"""What an event id stands for: its receipt says it, else who reported it first over HTTP or by file."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.store import keep_rows, keep_submission
from shared.clock import Clock
from shared.messaging.incoming import sha256_of
from shared.messaging.tables import receipts

OF = ("yanqing", "bank-a")
ONE, OTHER = (sha256_of("FinancingDeclined", {"uscc": uscc}) for uscc in ("A", "B"))


async def answered(connection: AsyncConnection, event_id: str, digest: bytes | None) -> None:
    values = {"scheme": OF[0], "institution": OF[1], "event_id": event_id, "event_name": "FinancingDeclined",
              "outcome": "accepted", "at": Clock.now(), "body_sha256": digest}  # fmt: skip
    await connection.execute(insert(receipts).values(values))


async def test_a_receipt_says_what_its_id_stands_for_whoever_reported_it(connection: AsyncConnection) -> None:
    await answered(connection, "bus", ONE)
    assert await keep_rows(connection, *OF, "upload", {"bus": OTHER, "new": ONE}) == {"bus": "other", "new": "new"}
    assert not await keep_submission(connection, *OF, "bus", OTHER)
    assert await keep_submission(connection, *OF, "bus", ONE)
    assert await keep_rows(connection, *OF, "upload", {"bus": ONE}) == {"bus": "known"}


async def test_what_was_tried_in_vain_does_not_stand_against_the_content_of_the_receipt(
    connection: AsyncConnection,
) -> None:
    assert await keep_submission(connection, *OF, "race", OTHER)
    await answered(connection, "race", ONE)
    assert await keep_submission(connection, *OF, "race", ONE)
    assert not await keep_submission(connection, *OF, "race", OTHER)


async def test_a_receipt_of_an_earlier_release_is_taken_for_the_answer(connection: AsyncConnection) -> None:
    await answered(connection, "old", None)
    assert await keep_submission(connection, *OF, "old", ONE)
    assert not await keep_submission(connection, *OF, "old", OTHER)
