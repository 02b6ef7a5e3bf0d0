"""Runs a story against a running system through its public doors, and says what did not hold."""

import asyncio
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from riskpool.partners.client import Connect, PartnerClient
from riskpool.scenario.doors import Answer, DoorError, Doors, Tokens, open_doors
from riskpool.scenario.matching import differences
from riskpool.scenario.report import Failure, Outcome
from riskpool.scenario.story import Step, Story, StoryError, load_story
from shared.contracts.registry import COMMANDS
from shared.scheme.loader import SchemeError, load_scheme

Progress = Callable[[int, int, Step], None]
READER = "drc"
SETTLE_WAIT_S = 10.0
EXPECT_WAIT_S = 10.0
_DAY_WAIT_S = 120.0
_AFTER_FAILURE_WAIT_S = 2.0


async def run_scenario(
    path: Path | str,
    *,
    api_url: str,
    nats_url: str | None = None,
    tokens: Tokens,
    duplicate: bool = False,
    seed: int | None = None,
    scheme: str | None = None,
    progress: Progress | None = None,
    connect: Connect = PartnerClient.connect,
) -> Outcome:
    """Run the story in a file (contract.md section 9); ``scheme`` runs it under another scheme's id.

    Partners connect by ``connect``. ``duplicate`` makes every command and every partner event twice under one id;
    ``seed`` shuffles what is left open.
    Raises StoryError for a malformed story; everything that goes wrong in the run is in the outcome.
    """
    story = load_story(Path(path))
    scheme_id = scheme or (scheme_of(story) if story.scheme_file else story.scheme)
    started = time.monotonic()
    outcome = Outcome(story.title, scheme_id, len(story.steps))
    async with open_doors(api_url, nats_url, scheme_id, tokens, READER, connect) as doors:
        run = _Run(story, doors, outcome, duplicate, Random(seed) if seed is not None else None)
        for step in story.steps:
            if progress is not None:
                progress(step.number, len(story.steps), step)
            await run.step(step)
        outcome.pool = await run.fund()
    outcome.seconds = time.monotonic() - started
    return outcome


class _Run:
    """One run: the day it stands on and what failed so far."""

    def __init__(self, story: Story, doors: Doors, outcome: Outcome, twice: bool, random: Random | None) -> None:
        self.story = story
        self.doors = doors
        self.outcome = outcome
        self.twice = twice
        self.random = random
        self.day: date | None = None
        self.transfers = 0

    async def step(self, step: Step) -> None:
        """Do one step; a failure is noted and the story goes on."""
        try:
            if step.on != self.day:
                await self._begin_day(step)
            if step.expect:
                await self._expect(step)
            elif step.do:
                await self._do(step)
        except DoorError as error:
            self._fail(step, "an answer", str(error))

    async def fund(self) -> dict[str, Any]:
        """The pool as it stands, or nothing when it cannot be read."""
        try:
            status, pool = await self.doors.http.read(READER, "/pool")
        except DoorError:
            return {}
        return pool if status == 200 and isinstance(pool, dict) else {}

    def _fail(self, step: Step, expected: str, found: str) -> None:
        self.outcome.failed.append(Failure.of(step, expected, found))

    async def _begin_day(self, step: Step) -> None:
        self.day = step.on
        answer = await self.doors.http.begin_day(READER, step.on)
        if answer.outcome != "accepted":
            self._fail(step, f"the business day {step.on} to begin", _said(answer))
        await self._settle(_DAY_WAIT_S)
        await self._play_custodian(step)

    async def _do(self, step: Step) -> None:
        fields = await self._resolved(step.fields, step)
        if step.do in COMMANDS:
            answer = await self.doors.command(step.by, step.do, fields, step.on, twice=self.twice)
        else:
            answer = await self.doors.report(step.by, step.do, fields, step.on, twice=self.twice)
        self._judge(step, answer)
        await self._settle(SETTLE_WAIT_S)
        await self._play_custodian(step)

    def _judge(self, step: Step, answer: Answer) -> None:
        expected = f"refused: {step.refused}" if step.refused else step.outcome
        if answer.outcome != step.outcome or (step.refused and answer.rule != step.refused):
            self._fail(step, expected, _said(answer))
        elif step.saying and step.saying not in answer.detail:
            self._fail(step, f"a detail that says {step.saying!r}", _said(answer))
        elif step.match is not None and (lines := differences(step.match, answer.body)):
            self._fail(step, f"an answer with {step.match}", "; ".join(lines))

    async def _expect(self, step: Step) -> None:
        began, pause = time.monotonic(), 0.01
        seconds = _AFTER_FAILURE_WAIT_S if self.outcome.failed else EXPECT_WAIT_S
        while True:
            status, found = await self.doors.http.read(step.by or READER, step.expect)
            lines = _unmet(step, status, found)
            if not lines:
                return
            if time.monotonic() > self.doors.waits_until(began, seconds):
                self._fail(
                    step, f"{step.match}" if step.match is not None else f"status {step.status}", "; ".join(lines)
                )
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    async def _settle(self, seconds: float) -> None:
        """Wait until every consumer has taken what was published; at most so long, unless a service was away."""
        began, pause = time.monotonic(), 0.03
        while not await self.doors.http.settled(READER) and time.monotonic() < self.doors.waits_until(began, seconds):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    async def _play_custodian(self, step: Step) -> None:
        """``custodian: auto``: settle every instructed disbursement on the same date, until there is none."""
        tried: set[str] = set()
        while self.story.custodian:
            due = [row for row in await self._disbursements("instructed") if str(row["id"]) not in tried]
            if not due:
                return
            if self.random:
                self.random.shuffle(due)
            for row in due:
                tried.add(str(row["id"]))
                await self._transfer(step, str(row["id"]))
            await self._settle(SETTLE_WAIT_S)

    async def _transfer(self, step: Step, disbursement_id: str) -> None:
        self.transfers += 1
        fields = {
            "disbursement_id": disbursement_id,
            "bank_ref": f"AUTO-{self.transfers}",
            "settled_on": step.on.isoformat(),
        }
        answer = await self.doors.report(self.story.custodian, "TransferSettled", fields, step.on, twice=self.twice)
        if answer.outcome != "accepted":
            self._fail(step, f"the custodian's transfer of {disbursement_id} to be accepted", _said(answer))

    async def _disbursements(self, status: str) -> list[dict[str, Any]]:
        code, page = await self.doors.http.read(READER, f"/disbursements?status={status}&limit=200")
        rows = page.get("items", []) if code == 200 and isinstance(page, dict) else page
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    async def _resolved(self, value: Any, step: Step) -> Any:
        """``{ref: disbursement, loan_no: X}`` stands for the newest instructed disbursement of that loan."""
        if isinstance(value, list):
            return [await self._resolved(item, step) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("ref") == "disbursement":
            return await self._newest_disbursement({key: item for key, item in value.items() if key != "ref"})
        return {key: await self._resolved(item, step) for key, item in value.items()}

    async def _newest_disbursement(self, wanted: dict[str, Any]) -> str:
        began = time.monotonic()
        while True:
            rows = [row for row in await self._disbursements("instructed") if not differences(wanted, row)]
            if rows:
                return str(rows[-1]["id"])
            if time.monotonic() > self.doors.waits_until(began, EXPECT_WAIT_S):
                raise DoorError(f"there is no instructed disbursement with {wanted}")
            await asyncio.sleep(0.05)


def scheme_of(story: Story) -> str:
    """The id of a story's scheme; StoryError when its scheme cannot be used."""
    try:
        return load_scheme(story.scheme_file or story.scheme).id
    except SchemeError as error:
        raise StoryError(f"{story.path.name}: scheme: {error}") from error


def _unmet(step: Step, status: int, found: Any) -> list[str]:
    wanted = step.status or 200
    if status != wanted:
        detail = found.get("detail", "") if isinstance(found, dict) else ""
        return [f"status {status} instead of {wanted} {detail}".strip()]
    return differences(step.match, found) if step.match is not None else []


def _said(answer: Answer) -> str:
    parts = [answer.outcome or "no outcome", answer.rule, answer.detail]
    findings = answer.body.get("findings") or []
    failed = [finding.get("rule", "") for finding in findings if finding.get("result") == "fail"]
    return ", ".join(part for part in parts if part) + (f" (failing: {', '.join(failed)})" if failed else "")
