"""The projections follow from the kept events: made again they are the same rows, and what was changed is put right."""

import asyncio

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typer.testing import CliRunner

from riskpool.cli import app
from services.gateway.projections.rebuild import check, projections, rebuild
from services.gateway.projections.tables import cases
from services.gateway.tables import event_positions, metadata
from shared.contracts import review
from tests.gateway import story
from tests.gateway.story import OTHER, USCC, day, take

RUNNER = CliRunner()


@pytest.fixture
async def filled(engine: AsyncEngine) -> AsyncEngine:
    """Two schemes' stories, from a referral to a write-off, and a second enterprise before the panel."""
    async with engine.begin() as connection:
        for scheme in ("yanqing", "elsewhere"):
            await take(connection, [event for events in story.life().values() for event in events], scheme)
        panel = review.RatingRoundOpened(uscc=OTHER, round=1, seats=("drc", "bank-a"), opened_on=day("2026-01-15"))
        vote = review.VoteCast(uscc=OTHER, round=1, seat="drc", grade="low")
        await take(connection, [story.referred(OTHER), story.admitted(OTHER), story.opened(OTHER), panel, vote])
    return engine


async def everything(connection: AsyncConnection) -> dict[str, list[str]]:
    """Every row of every projection as text."""
    return {
        table.name: sorted(str(row) for row in await connection.execute(select(table))) for table in projections()
    }


async def changed(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


CORRUPTION = (
    f"update cases set grade = 'high' where uscc = '{USCC}' and scheme = 'yanqing'",
    "delete from waiting where organisation = 'bank-a'",
    "insert into case_parties values ('yanqing', 'X', 'bank-z')",
    "update payouts set settled_fen = settled_fen + 1 where scheme = 'elsewhere'",
)


async def test_projections_made_again_are_the_same_rows(filled: AsyncEngine) -> None:
    found = await check(filled)
    assert found.differences == () and found.events > 40 and found.rows > 30


async def test_a_check_names_each_difference_and_changes_nothing(filled: AsyncEngine) -> None:
    await changed(filled, *CORRUPTION)
    async with filled.connect() as connection:
        before = await everything(connection)
    found = await check(filled)
    assert [str(one) for one in found.differences] == [
        "case_parties yanqing/X/bank-z: follows from no event (1 row(s) of case_parties differ)",
        f'cases yanqing/{USCC}: grade is "high", the events say "medium" (1 row(s) of cases differ)',
        "payouts elsewhere/compensation/A-1: settled_fen is 100000001, the events say 100000000"
        " (1 row(s) of payouts differ)",
        f"waiting yanqing/bank-a/vote/{OTHER}: is missing (1 row(s) of waiting differ)",
    ]
    async with filled.connect() as connection:
        assert await everything(connection) == before


async def test_a_rebuild_puts_right_what_differs_and_keeps_the_events(filled: AsyncEngine) -> None:
    async with filled.connect() as connection:
        right = await everything(connection)
        kept = (await connection.execute(text("select * from events order by position"))).all()
    await changed(filled, *CORRUPTION, "truncate loans", "delete from ledger_entries")
    found = await rebuild(filled)
    assert {one.table for one in found.differences} >= {"cases", "loans", "waiting", "ledger_entries"}
    async with filled.connect() as connection:
        assert await everything(connection) == right
        assert (await connection.execute(text("select * from events order by position"))).all() == kept
        assert (await connection.execute(select(event_positions.c.last))).scalar_one() == len(kept)
    assert (await check(filled)).differences == ()


async def test_events_go_on_after_a_rebuild(filled: AsyncEngine) -> None:
    told: list[tuple[int, int]] = []
    await rebuild(filled, lambda done, newest: told.append((done, newest)))
    assert told and told[-1][0] == told[-1][1]
    async with filled.begin() as connection:
        await take(connection, [story.rated(uscc=OTHER)])
        grade = select(cases.c.grade).where(cases.c.uscc == OTHER)
        assert (await connection.execute(grade)).scalar_one() == "medium"
        temporary = select(func.count()).select_from(text("pg_class")).where(text("relpersistence = 't'"))
        assert (await connection.execute(temporary)).scalar_one() == 0


async def test_the_command_checks_and_repairs(filled: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    url = filled.url.render_as_string(hide_password=False)
    monkeypatch.setenv("RISKPOOL_DATABASE_URL", url)

    async def run(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(RUNNER.invoke, app, ["gateway", "rebuild", *arguments])
        return result.exit_code, result.output

    assert (await run("--check"))[0] == 0
    await changed(filled, *CORRUPTION)
    code, output = await run("--check")
    assert code == 1 and "cases yanqing" in output and "4 differ" in output
    code, output = await run()
    assert code == 0 and "4 put right" in output
    assert (await run("--check"))[0] == 0


KEPT = {
    "tokens", "business_days", "turns", "upkeep", "submissions", "event_positions", "events", "accounts", "memberships",
    "sessions", "actions", "bus_credentials", "uploads", "upload_rows", "drafts", "documents", "report_jobs",
}  # fmt: skip


def test_every_table_is_a_projection_or_kept_for_a_reason() -> None:
    names = {table.name for table in metadata.sorted_tables}
    assert names > KEPT
    assert {table.name for table in projections()} == names - KEPT
