"""A year of the fund ends with the same books when everything is killed on its way, and when the bus forgets it."""

import shutil
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from riskpool.audit import audit
from riskpool.demo import STORY
from riskpool.scenario.embedded import make_tokens, organisations_of, scheme_under_id
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import Step, load_story
from riskpool.services import SERVICES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chaos]

ENTERPRISE_A, LOAN_A = "91110119MA01ABC17J", "A-0001"
# What is killed, in which step of the story, and how long after the step began.
KILLS = (
    ("referral", "drc ScreenReferral", 1, 0.03),
    ("review", "bank-a CastVote", 1, 0.02),
    ("nats", "bank-a LoanDisbursed", 3, 0.02),
    ("postgres", "government ConsentHighRisk", 1, 0.03),
    ("gateway", "bank-a LoanRepaid", 1, 0.05),
    ("pool", "drc IssuePayoutNotice", 1, 0.03),
    ("recovery", "bank-a RecoveryCollected", 2, 0.02),
)
FORGOTTEN_BEFORE = ("drc SubmitClaimBatch", 1)
READ = (
    "/pool",
    "/ledger/entries?limit=500",
    f"/cases/{ENTERPRISE_A}",
    f"/loans/{LOAN_A}",
    "/recoveries",
    "/disbursements",
    "/receipts?limit=500",
)
MADE_ANEW = {"id", "event_id", "position"}
Books = dict[str, Any]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """One stack for three years of three funds under the same rules."""
    directory, story = tmp_path_factory.mktemp("schemes"), load_story(STORY)
    files = [scheme_under_id(story, name, directory) for name in ("calm", "killed", "forgotten")]
    return ("--free-ports", "--clock", "message", *(part for file in files for part in ("--scheme", str(file))))


@pytest.fixture(scope="module")
def stack(start_for_module: Callable[..., Any], options: Sequence[str]) -> Any:
    return start_for_module("data", *options).until_ready()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(stack: Any) -> Books:
    return await year(stack, "calm")


async def test_kill_9_of_every_service_the_bus_and_the_database_in_one_year(stack: Any, undisturbed: Books) -> None:
    due = {step_number(what, nth): (victim, after) for victim, what, nth, after in KILLS}

    def kill(number: int, _total: int, _step: Step) -> None:
        if number in due:
            victim, after = due.pop(number)
            threading.Timer(after, stack.kill, (victim,)).start()

    assert await year(stack, "killed", kill) == undisturbed
    assert not due
    assert stack.description["restarts"] == dict.fromkeys((*SERVICES, "nats", "postgres"), 1)
    await everything_is_in_its_place(stack)


async def test_the_bus_loses_all_it_stored_while_everything_is_stopped(
    stack: Any, undisturbed: Books, start_for_module: Callable[..., Any], options: Sequence[str]
) -> None:
    before, running = step_number(*FORGOTTEN_BEFORE), [stack]

    def forget(number: int, _total: int, _step: Step) -> None:
        if number == before:
            assert stack.stop() == 0
            shutil.rmtree(stack.data / "nats")
            running.append(start_for_module("data", *options).until_ready())
            assert running[-1].api_url == stack.api_url

    assert await year(stack, "forgotten", forget) == undisturbed
    assert len(running) == 2
    await everything_is_in_its_place(running[-1])


def step_number(what: str, nth: int) -> int:
    """The number of the nth step in which an organisation does something."""
    return [step.number for step in load_story(STORY).steps if f"{step.by} {step.do}" == what][nth - 1]


async def year(stack: Any, scheme: str, progress: Callable[[int, int, Step], None] | None = None) -> Books:
    """Play the story under a scheme's id; the books at its end, without ids that differ from run to run."""
    tokens = await make_tokens(stack.database_url("gateway"), scheme, organisations_of(load_story(STORY)))
    outcome = await run_scenario(
        STORY, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens, scheme=scheme, progress=progress
    )
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    headers = {"Authorization": f"Bearer {tokens('drc')}"}
    with httpx.Client(base_url=f"{stack.api_url}/v1/schemes/{scheme}", headers=headers, timeout=30) as client:
        books = {path.partition("?")[0]: client.get(path).raise_for_status().json() for path in READ}
    entries, receipts = books["/ledger/entries"]["items"], books["/receipts"]["items"]
    timeline = books[f"/cases/{ENTERPRISE_A}"]["timeline"]
    for made_anew in (*entries, *receipts, *timeline):
        for key in MADE_ANEW & made_anew.keys():
            del made_anew[key]
    assert len(entries) == 22 and sum(Decimal(one["amount"]) for one in entries) == 0
    receipts.sort(key=lambda one: (one["at"], one["institution"], one["event"], one["detail"] or ""))
    # Events of different services about one case may come in either order; sorting keeps the order of each service's.
    timeline.sort(key=lambda one: (one["at"], one["service"]))
    return books


async def everything_is_in_its_place(stack: Any) -> None:
    """No difference between events and what is stored, nothing waiting, nothing parked."""
    findings = await audit({service: stack.database_url(service) for service in SERVICES})
    assert [difference for one in findings for difference in one.differences] == []
    assert sum(one.entries for one in findings) > 0
    for service in SERVICES:
        connection = await asyncpg.connect(stack.database_url(service).replace("+asyncpg", ""), ssl=False)
        try:
            assert await connection.fetch("select event_id, name from outbox where published_at is null") == []
            assert await connection.fetch("select message_id, error from parked") == []
        finally:
            await connection.close()
