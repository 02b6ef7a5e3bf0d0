"""docs/runbook.md as an operator types it, on the embedded stack; tests/compose has its lines for containers."""

from pathlib import Path

import pytest

from riskpool.servers import postgres_binaries
from riskpool.services import SERVICES
from tests.conftest import PASSWORD, Postgres
from tests.system.conftest import RunningStack
from tests.system.test_docs import blocks, lent, reader, run

__all__ = ["lent", "reader"]
BLOCKS = blocks("docs/runbook.md", "sh")
MOVE = next(one for one in BLOCKS if "$SERVER" in one)


@pytest.mark.parametrize("script", [one for one in BLOCKS if one != MOVE], ids=lambda script: script.splitlines()[0])
async def test_a_task_is_done_as_printed(lent: RunningStack, reader: Path, script: str) -> None:
    run(lent, reader, "bash", "-euo", "pipefail", "-c", script)


def test_cron_runs_what_the_page_has_typed_by_hand() -> None:
    """tests/compose types it: here the two are compared, but for the terminal and the day in the file's name."""
    typed = "\n".join(blocks("docs/runbook.md", "bash")).replace("\\\n  ", "").splitlines()
    [cron] = blocks("docs/runbook.md", "cron")
    for line in cron.splitlines():
        *when, change, place, command = line.split(" ", 7)
        assert len(when) == 5 and (change, place) == ("cd", "CHECKOUT")
        assert command.removeprefix("&& ").replace(" -T", "").replace("-$(date +\\%u)", "") in typed


async def test_the_fund_moves_to_a_server_whose_owner_is_no_superuser(
    lent: RunningStack, reader: Path, server_directory: Path
) -> None:
    managed = Postgres(server_directory / "managed" / "postgres")  # empty, as the page says
    managed.start()
    try:
        managed.sql("postgres", f"create role manager login createdb createrole password '{PASSWORD}'")
        server = managed.url("", "manager").replace("+asyncpg", "").rstrip("/")
        here = f"export SERVER={server} PATH={postgres_binaries()}:$PATH\n"
        told = run(lent, reader, "bash", "-euo", "pipefail", "-c", here + MOVE)
        assert "the books are proved" in told
        for name in SERVICES:
            assert managed.sql(name, f"select has_table_privilege('{name}', 'outbox', 'delete')") == "f"
    finally:
        managed.stop()
