"""Peers of the benchmark measure what was really written, and say so when it is not what they sent."""

import statistics
from collections.abc import AsyncIterator

import pytest

from riskpool.bench.peer_database import execute, scratch_database
from riskpool.bench.peer_environments import NotMeasurable, environment
from riskpool.bench.peer_libraries import CACHE, PEERS, peer_rate, run_script
from riskpool.bench.peer_pgbench import Pgbench, pgbench
from riskpool.supervisor import StackError
from tests.conftest import Postgres

BY_NAME = {peer.name: peer for peer in PEERS}
# Now and then a posting arrives with another amount than was sent.
FORGER = """
create function forge() returns trigger language plpgsql as $$ begin
    if new.originator_version % 50 = 7 then
        new.state = convert_to(replace(convert_from(new.state, 'UTF8'), 'fen":', 'fen":1'), 'UTF8');
    end if;
    return new;
end $$;
create function employ() returns event_trigger language plpgsql as $$ begin
    if to_regclass('application_events') is not null then
        create or replace trigger forger before insert on application_events for each row execute function forge();
    end if;
end $$;
create event trigger employer on ddl_command_end when tag in ('CREATE TABLE') execute function employ();
"""
# A change of a row that leaves no history.
LOSER = """
create function lose() returns trigger language plpgsql as $$ begin
    return case when new.delta % 5 <> 0 then new end;
end $$;
create trigger loser before insert on history for each row execute function lose();
"""


@pytest.fixture
async def bench(postgres: Postgres) -> AsyncIterator[Pgbench]:
    async with pgbench(postgres.url("postgres")) as made:
        yield made


@pytest.fixture
async def eventsourcing() -> list[str]:
    try:
        return await environment("eventsourcing", CACHE)
    except NotMeasurable as reason:
        pytest.skip(str(reason))


async def test_pgbench_gives_rates_and_times_that_agree_with_its_tables(bench: Pgbench) -> None:
    hot = await bench.hot_row(1, (1, 4))
    many = await bench.many_rows(1, (4,), rows=10_000)
    taken = await bench.update_milliseconds(1)
    assert hot.ops_per_second and many.ops_per_second
    assert hot.n in (1, 4)
    assert 0 < statistics.mean(taken) < 1000  # on a busy machine pgbench does not look at the clock for every update


async def test_a_change_without_history_fails_pgbench(bench: Pgbench) -> None:
    await execute(bench.url, LOSER)
    with pytest.raises(StackError, match=r"pgbench made \d+ transactions, \d+ are kept"):
        await bench.hot_row(1, (1,))


async def test_eventsourcing_is_measured_in_a_database_that_is_gone_afterwards(
    postgres: Postgres, eventsourcing: list[str]
) -> None:
    measured = await peer_rate(BY_NAME["eventsourcing"], postgres.url("postgres"), 0.5, batches=(100, 500))
    assert measured.ops_per_second and measured.ops_per_second > 100
    assert measured.n in (100, 500)
    assert postgres.sql("postgres", "select count(*) from pg_database where datname like 'riskpool_bench%'") == "0"


async def test_a_posting_that_arrives_changed_fails_the_run(postgres: Postgres, eventsourcing: list[str]) -> None:
    async with scratch_database(postgres.url("postgres"), "forged") as url:
        await execute(url, FORGER)
        with pytest.raises(StackError, match=r"postings of \d+ fen were sent, the database has"):
            await run_script([*eventsourcing, "0.2", "100"], url, 0.2)


async def test_without_node_emmett_is_not_measured_and_the_reason_is_kept(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    measured = await peer_rate(BY_NAME["emmett"], postgres.url("postgres"), 0.2)
    assert (measured.ops_per_second, measured.reason) == (None, "no Node")
