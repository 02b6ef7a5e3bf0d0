"""Whose credentials for the bus end with an agreement: the order of the events says it, dates do not."""

from importlib import import_module
from pathlib import Path

import nats
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.bus_access import _open, credentials_of, end_with_agreements, has_agreement, issue
from services.gateway.projections.tables import agreements
from services.gateway.queries.organisations import one_institution
from services.gateway.queries.panel import signed_on
from shared.contracts.base import Event
from shared.contracts.review import AgreementSigned, InstitutionSanctioned
from shared.messaging.bus import Bus
from shared.messaging.envelope import new_id
from shared.messaging.nkeys import ACCOUNT, new_key
from shared.messaging.provisioning import INGRESS_BYTES, ensure_stream, ingress_stream
from shared.messaging.unit_of_work import RECEIPTS
from tests.conftest import Nats
from tests.gateway.story import SCHEME, day, take


def signed(begins: str, institution: str = "bank-a") -> AgreementSigned:
    return AgreementSigned(
        institution=institution, kind="bank", name="甲银行", valid_from=day(begins), valid_to=day("2029-12-31"),
        products=("bank",),
    )  # fmt: skip


def sanctioned(on: str, measure: str = "terminate", institution: str = "bank-a") -> InstitutionSanctioned:
    told = {"institution": institution, "measure": measure, "reason": "串通", "sanctioned_on": day(on)}
    return InstitutionSanctioned.model_validate(told)


ENDED: dict[str, tuple[list[Event], bool]] = {
    "an agreement in force": ([signed("2026-01-01")], False),
    "a lesser sanction": ([signed("2026-01-01"), sanctioned("2026-08-01", "reduce")], False),
    "its end": ([signed("2026-01-01"), sanctioned("2026-08-01")], True),
    "its end after a renewal that begins later": (
        [signed("2026-01-01"), signed("2027-01-01"), sanctioned("2026-08-01")], True,
    ),
    "signed anew on the day of its end": (
        [signed("2026-01-01"), sanctioned("2026-08-01"), signed("2026-08-01")], False,
    ),
    "signed anew as of a day before its end": (
        [signed("2026-01-01"), sanctioned("2026-08-01"), signed("2026-01-01")], False,
    ),
    "ended once more": (
        [signed("2026-01-01"), sanctioned("2026-08-01"), signed("2026-08-01"), sanctioned("2026-08-01")], True,
    ),
    "another's end": (
        [signed("2026-01-01"), signed("2026-01-01", "bank-b"), sanctioned("2026-08-01", institution="bank-b")], False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ENDED)
async def test_credentials_end_with_an_agreement_until_it_is_signed_again(
    what: str, connection: AsyncConnection
) -> None:
    told, ends = ENDED[what]
    await take(connection, told)
    await issue(connection, SCHEME, "bank-a", "drc", "", None)
    await end_with_agreements(connection)
    [kept] = await credentials_of(connection, SCHEME, "bank-a")
    assert kept.revoked_by == ("agreement terminated" if ends else None)
    assert await has_agreement(connection, SCHEME, "bank-a") is not ends
    shown = await one_institution(connection, SCHEME, "bank-a")
    assert shown is not None and shown.terminated is ends
    assert ("bank-a" in [one.institution for one in await signed_on(connection, SCHEME, day("2028-01-01"))]) is not ends


@pytest.mark.parametrize("what", ENDED)
async def test_an_older_database_is_told_the_same_by_its_migration(what: str, connection: AsyncConnection) -> None:
    told, ends = ENDED[what]
    await take(connection, told)
    await connection.execute(update(agreements).values(terminated=False))
    await connection.exec_driver_sql(import_module("services.gateway.migrations.versions.0014_terminated").FILL)
    assert await has_agreement(connection, SCHEME, "bank-a") is not ends


async def test_an_agreement_of_another_scheme_says_nothing(connection: AsyncConnection) -> None:
    await take(connection, [signed("2026-01-01"), sanctioned("2026-08-01")])
    await take(connection, [signed("2026-01-01")], scheme="other")
    assert await has_agreement(connection, "other", "bank-a")
    assert not await has_agreement(connection, SCHEME, "bank-a")
    assert not await has_agreement(connection, SCHEME, "bank-z")


async def test_an_institution_without_room_on_the_bus_does_not_keep_others_from_theirs(server_directory: Path) -> None:
    directory = server_directory / new_id() / "nats"
    room = f'jetstream {{ store_dir: "{directory / "store"}", max_file_store: {INGRESS_BYTES + 1_000_000} }}\n'
    server = Nats.alone(directory, more=room)
    server.start()
    async with await nats.connect(server.url) as client:
        bus = Bus(client)
        await ensure_stream(bus.js, RECEIPTS)
        told = [await _open(bus, name, {SCHEME: new_key(ACCOUNT).public}) for name in ("bank-a", "bank-b", "bank-a")]
        assert [error is None for error in told] == [True, False, True]
        names = {info.config.name for info in await bus.js.streams_info()}
        assert names == {RECEIPTS, ingress_stream("bank-a")}
    server.kill()
