"""A random year of business comes to the same books whatever befalls services, servers, links and messages."""

import asyncio
import json
import os

import pytest

from riskpool.services import SERVICES
from tests.faults.books import (
    as_owner,
    books_of,
    decided,
    differences,
    faults_in_receipts,
    parked,
    shown_of_cases,
    unfinished,
)
from tests.faults.storm import Fault, Storm, on_the_bus
from tests.faults.world import World, Year

SECONDS = 600 + 10 * int(os.environ.get("FAULTS") or 8)
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(SECONDS)]
# Every year must have come this far, else it proves little.
MUST_HAPPEN = {
    "ReferEnterprise", "ScreenReferral", "CastVote", "PushFinancing", "LoanDisbursed", "LoanRepaid", "LoanDefaulted",
    "FinancingDeclined", "PremiumPaid", "ApproveSubsidy", "VerifyClaim", "ConsentClaimBatch", "IssuePayoutNotice",
    "TransferSettled", "RecoveryCollected", "FundsReceived", "WriteOffProposed", "ApproveWriteOff", "IncomeCredited",
    "ApproveFee", "StatementIssued",
}  # fmt: skip


async def test_a_year_without_faults_is_a_year_of_business(running: World, calm: Year) -> None:
    assert MUST_HAPPEN - calm.business.accepted.keys() == set()
    assert await faults_in_receipts(running.stack, "calm", calm.mischief.sent) == []
    assert await unfinished(running.stack) == []


async def test_the_same_year_with_faults_comes_to_the_same_books(running: World, calm: Year, stormy: Year) -> None:
    assert differences(decided(calm.books), decided(stormy.books)) == []
    assert await faults_in_receipts(running.stack, "stormy", stormy.mischief.sent) == []
    assert await parked(running.stack, "stormy") == await parked(running.stack, "calm")
    assert await unfinished(running.stack) == []


async def test_the_same_year_with_faults_shows_the_same_cases(calm: Year, stormy: Year) -> None:
    assert differences(shown_of_cases(calm.books), shown_of_cases(stormy.books)) == []


async def test_nothing_is_settled_until_a_bus_that_forgot_everything_is_filled_again(
    running: World, stormy: Year
) -> None:
    recorded = 0
    for service in SERVICES:
        query = "select count(*) from outbox where stream = 'EVENTS'"
        recorded += (await as_owner(running.stack, service, query))[0]["count"]
    forgetful = Storm(running.stack, running.links, None, [Fault(0, "forget", "", 0)])
    async with running.doors("stormy", stormy.mischief) as doors, on_the_bus(running.stack) as js:
        await forgetful.over()
        while not await doors.http.settled("drc"):
            await asyncio.sleep(0.01)
        assert (await js.stream_info("EVENTS")).state.messages == recorded


# -- what shows that a fault would be seen; these spoil the calm year, so they come last -----------------------------


async def test_a_receipt_that_is_missing_is_found(running: World, calm: Year) -> None:
    one = next(iter(calm.mischief.sent))
    await as_owner(running.stack, "gateway", "delete from receipts where event_id = $1", one)
    found = await faults_in_receipts(running.stack, "calm", calm.mischief.sent)
    assert found == [f"event {one}: 0 receipts kept by the gateway"]


async def test_an_event_that_is_taken_twice_is_found(running: World, calm: Year) -> None:
    sent = calm.mischief.sent
    one = next(event_id for event_id, (_, name, _) in sent.items() if name == "RecoveryCollected")
    for statement in ("alter table inbox disable trigger user", f"delete from inbox where message_id = '{one}'"):
        await as_owner(running.stack, "recovery", statement)
    forgetful = Storm(running.stack, running.links, None, [Fault(0, "kill", "recovery", 0)])
    await forgetful.over()
    async with running.doors("calm", calm.mischief) as doors:
        business = calm.business
        business.doors = doors
        issued = await doors.http.credentials("drc", json.loads(sent[one][2])["source"].rpartition("/")[2])
        assert issued is not None
        partner = await calm.mischief.connect(running.stack.nats_url, lambda: str(issued["credentials"]))
        await partner.publish(*sent[one])
        await partner.close()
        await business.settled()
        found = differences(calm.books, await books_of(running.stack, doors, business))
    assert [line.partition(":")[0] for line in found if line.startswith("/recoveries")] == ["/recoveries"] * 2, found
    receipts = await faults_in_receipts(running.stack, "calm", sent)
    assert f"event {one}: 2 receipts given" in receipts
