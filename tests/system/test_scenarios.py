"""Every story on one running stack, each under a scheme id of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from riskpool.scenario.embedded import make_tokens, organisations_of, scheme_under_id, temporary_stack
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import load_story
from riskpool.stack import Stack

ROOT = Path(__file__).parents[2]
GIVEN = ROOT.parent / "shared" / "scenarios" / "first-year.yaml"
STORIES = {path.stem: path for path in sorted((ROOT / "riskpool" / "scenarios").glob("*.yaml"))}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    directory = tmp_path_factory.mktemp("schemes")
    schemes = [scheme_under_id(load_story(path), name, directory) for name, path in STORIES.items()]
    async with temporary_stack(schemes) as running:
        yield running


@pytest.mark.parametrize("name", STORIES)
async def test_a_story_holds_from_beginning_to_end(stack: Stack, name: str) -> None:
    path = STORIES[name]
    tokens = await make_tokens(stack.database_url("gateway"), name, organisations_of(load_story(path)))
    outcome = await run_scenario(path, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens, scheme=name)
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    assert outcome.document()["passed"] == outcome.steps


@pytest.mark.skipif(not GIVEN.exists(), reason="it lies outside the project")
async def test_the_first_year_is_the_one_that_was_given() -> None:
    assert STORIES["first-year"].read_text(encoding="utf-8") == GIVEN.read_text(encoding="utf-8")


async def test_a_story_tells_what_did_not_hold(stack: Stack, tmp_path: Path) -> None:
    story = tmp_path / "wrong.yaml"
    story.write_text(
        "scheme: yanqing\nsteps:\n"
        "  - {on: 2028-12-01, by: drc, do: InjectCapital, with: {source: lottery, amount: '1.00', bank_ref: X}}\n"
        "  - {expect: /pool, match: {capital: '1.00', held: [{loan_no: nowhere}]}}\n",
        encoding="utf-8",
    )
    tokens = await make_tokens(stack.database_url("gateway"), "custody", {"drc"})
    outcome = await run_scenario(story, api_url=stack.api_url, tokens=tokens, scheme="custody")
    first, second = outcome.failed
    assert (first.step, first.expected) == (1, "accepted") and first.found.startswith("refused, permission, ")
    assert second.step == 2 and "capital: expected '1.00', found '" in second.found
    assert "held: nothing in the list matches {'loan_no': 'nowhere'}" in second.found
    assert outcome.document()["passed"] == 0 and outcome.document()["steps"] == 2


async def test_partner_events_go_over_http_where_there_is_no_bus(stack: Stack, tmp_path: Path) -> None:
    story = tmp_path / "http.yaml"
    story.write_text(
        "scheme: yanqing\nsteps:\n"
        "  - {on: 2029-02-01, by: custodian, do: StatementIssued, with: {as_of: 2029-01-31, balance: '1.00'}}\n"
        "  - {by: custodian, do: StatementIssued, with: {as_of: 2029-01-31, balance: 1.00}, outcome: unreadable}\n"
        "  - {by: bank-a, do: IncomeCredited, with: {amount: '1', period: x, bank_ref: X}, outcome: unreadable}\n",
        encoding="utf-8",
    )
    tokens = await make_tokens(stack.database_url("gateway"), "custody", {"drc", "custodian", "bank-a"})
    outcome = await run_scenario(story, api_url=stack.api_url, tokens=tokens, scheme="custody", duplicate=True)
    assert outcome.ok, "\n".join(map(str, outcome.failed))
