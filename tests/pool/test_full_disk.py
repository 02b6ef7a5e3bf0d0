"""A disk that fills up in the middle of a year and is cleared later: nothing lost, nothing twice."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from shared.database import migrate
from shared.messaging import tables as core
from tests.conftest import Postgres
from tests.pool.test_hot_path import YANQING, Pool, Story, Writing, chunks, seed

__all__ = ["seed"]

DISK = "160m"


@pytest.fixture
def small_disk(server_directory: Path) -> Iterator[Path]:
    """A file system of its own, which only root can make."""
    place = server_directory / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    place.chmod(0o711)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Take all the room that is left."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
    return filler


async def test_a_full_disk_holds_the_money_until_there_is_room_again(small_disk: Path, seed: int) -> None:
    server = Postgres(small_disk / "postgres")
    server.start()
    server.role("pool")
    url = server.database()
    await asyncio.to_thread(migrate, "pool", url, "pool")
    engine = create_async_engine(url, pool_size=8)
    async with engine.begin() as connection:
        await connection.execute(core.schemes.insert().values(scheme="yanqing", version=YANQING.version))
    pool, story = Pool(engine), Story(seed)
    batches = chunks(story.told, story.chance)
    full_at, writing = len(batches) // 3, Writing(pool)
    for number, batch in enumerate(batches):
        if number != full_at:
            await pool.until_taken(writing.writer, batch)
            continue
        server.sql("postgres", "checkpoint")
        filler = await asyncio.to_thread(fill, small_disk)
        rest = [one for part in batches[full_at:] for one in part]
        waiting = asyncio.create_task(pool.until_taken(writing.writer, rest))
        await asyncio.sleep(2)
        assert not waiting.done(), "the disk was not full"
        filler.unlink()
        if not server.is_ready():  # a full disk may end the server itself: it recovers from its log
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await asyncio.wait_for(waiting, 60)
        break
    await writing.end()
    await pool.equals(story)
    await engine.dispose()
    server.stop()
