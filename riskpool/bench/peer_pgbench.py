"""pgbench in a scratch database: one hot row, many rows, one UPDATE by itself, each checked against what it left."""

import contextlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from sqlalchemy import URL

from riskpool.bench.peer_database import execute, integers, libpq, scratch_database
from riskpool.bench.peer_environments import run
from riskpool.bench.peer_libraries import Measured
from riskpool.servers import postgres_binaries
from riskpool.supervisor import StackError

CLIENTS = (1, 4, 8)
MANY_ROWS = 1_000_000
_TABLES = """
create table account (id int primary key, balance bigint not null);
create table history (id bigint generated always as identity primary key, account int not null, delta int not null,
    at timestamptz not null);
"""
# pgbench's simple-update without its SELECT, on so many rows.
_SIMPLE_UPDATE = r"""
\set row random(1, :rows)
\set delta random(-5000, 5000)
begin;
update account set balance = balance + :delta where id = :row;
insert into history (account, delta, at) values (:row, :delta, current_timestamp);
end;
"""
_ONE_UPDATE = "update account set balance = balance + 1 where id = 1;\n"
_HISTORY = "select count(*), coalesce(sum(delta), 0), (select sum(balance) from account) from history"


class Pgbench:
    """Durable transactions of pgbench (-M prepared) in a database of its own at ``url``."""

    def __init__(self, url: URL, directory: Path) -> None:
        self.url, self._directory = url, directory
        self._rows = 0

    async def hot_row(self, seconds: int, clients: Sequence[int] = CLIENTS) -> Measured:
        """Transactions a second that change one and the same row, of the best number of clients."""
        return await self._simple_update(1, seconds, clients)

    async def many_rows(self, seconds: int, clients: Sequence[int] = CLIENTS, rows: int = MANY_ROWS) -> Measured:
        """Transactions a second that each change one of so many rows, of the best number of clients."""
        return await self._simple_update(rows, seconds, clients)

    async def update_milliseconds(self, seconds: int) -> list[float]:
        """How long each of one client's single-row UPDATEs took until its commit was on disk."""
        await self._fill(1)
        with tempfile.TemporaryDirectory(dir=self._directory) as logs:
            done, _ = await self._pgbench(_ONE_UPDATE, seconds, 1, "-l", f"--log-prefix={logs}/log")
            lines = [line for log in Path(logs).iterdir() for line in log.read_text().splitlines()]
        (balance,) = await integers(self.url, "select balance from account where id = 1")
        if not done == balance == len(lines):
            raise StackError(f"pgbench made {done} updates, logged {len(lines)}, and left a balance of {balance}")
        return [int(line.split()[2]) / 1000 for line in lines]

    async def _simple_update(self, rows: int, seconds: int, clients: Sequence[int]) -> Measured:
        best = Measured(0)
        for number in clients:
            await self._fill(rows)
            done, rate = await self._pgbench(_SIMPLE_UPDATE, seconds, number, f"-Drows={rows}")
            kept, delta, balance = await integers(self.url, _HISTORY)
            if kept != done or delta != balance:
                raise StackError(f"pgbench made {done} transactions, {kept} are kept; {delta} changed, {balance} kept")
            best = max(best, Measured(rate, number), key=lambda measured: measured.ops_per_second or 0)
        return best

    async def _fill(self, rows: int) -> None:
        """So many accounts, all zero; as many as last time are only set back, which costs less."""
        if rows != self._rows:
            await execute(
                self.url, "truncate account", f"insert into account select id, 0 from generate_series(1, {rows}) as id"
            )
            self._rows = rows
        await execute(
            self.url, "truncate history", "update account set balance = 0 where balance <> 0",
            "vacuum analyze account", "checkpoint",
        )  # fmt: skip

    async def _pgbench(self, script: str, seconds: int, clients: int, *options: str) -> tuple[int, float]:
        """Transactions made, and made a second."""
        file = self._directory / "script.sql"
        file.write_text(script)
        command = [
            str(postgres_binaries() / "pgbench"), "-n", "-M", "prepared", "-f", str(file), "-T", str(seconds),
            "-c", str(clients), "-j", str(min(clients, 2)), *options,
        ]  # fmt: skip
        code, output, errors = await run(command, {**os.environ, **libpq(self.url)}, 60.0 + seconds)
        done = re.search(r"transactions actually processed: (\d+)", output)
        rate = re.search(r"tps = ([0-9.]+)", output)
        if code != 0 or done is None or rate is None:
            raise StackError(f"pgbench failed: {errors or output}")
        return int(done[1]), float(rate[1])


@contextlib.asynccontextmanager
async def pgbench(owner_url: str) -> AsyncIterator[Pgbench]:
    """A scratch database beside the services' own, dropped on leaving."""
    async with scratch_database(owner_url, "pgbench") as url:
        await execute(url, _TABLES)
        with tempfile.TemporaryDirectory() as directory:
            yield Pgbench(url, Path(directory))
