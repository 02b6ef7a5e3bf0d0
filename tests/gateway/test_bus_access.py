"""Whose credentials for the bus end with an agreement: the order of the events says it, dates do not."""

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.bus_access import credentials_of, end_with_agreements, has_agreement, issue
from shared.contracts.base import Event
from shared.contracts.review import AgreementSigned, InstitutionSanctioned
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


async def test_an_agreement_of_another_scheme_says_nothing(connection: AsyncConnection) -> None:
    await take(connection, [signed("2026-01-01"), sanctioned("2026-08-01")])
    await take(connection, [signed("2026-01-01")], scheme="other")
    assert await has_agreement(connection, "other", "bank-a")
    assert not await has_agreement(connection, SCHEME, "bank-a")
    assert not await has_agreement(connection, SCHEME, "bank-z")
