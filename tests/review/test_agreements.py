"""Agreements: one an institution, valid between two dates, ranked by what they offer (二(六), push.preference)."""

from datetime import date
from decimal import Decimal

import pytest

from services.review.domain.agreements import decide_agreement, evolve_agreement, rank, rank_all
from shared.contracts.commands import SignAgreement
from shared.contracts.review import InstitutionSanctioned
from shared.decisions import Accepted
from tests.review.story import POLICY, accepted, agreement, day, refused, terms

ORDER = POLICY.push_preference


def sign(institution: str = "bank-a", valid_to: date = date(2028, 12, 31), **changes: object) -> SignAgreement:
    facts: dict[str, object] = {
        "institution": institution, "kind": "bank", "name": institution, "valid_from": day("2026-01-01"),
        "valid_to": valid_to, "products": ("bank", "guarantee", "insurance"),
    }
    return SignAgreement.model_validate(facts | changes)


@pytest.mark.parametrize("institution", ["finance", "operator"])
def test_an_organisation_of_the_scheme_cannot_sign_an_agreement(institution: str) -> None:
    assert refused(decide_agreement(None, sign(institution), POLICY)) == "permission/organisation"


def test_a_guarantors_share_above_one_is_refused() -> None:
    command = sign("guarantor-a", guarantor_shares={"bank-a": Decimal("1.01")})
    assert refused(decide_agreement(None, command, POLICY)) == "loan.product/share"


def test_a_later_agreement_replaces_the_earlier_one() -> None:
    before = agreement("bank-a")
    (signed,) = accepted(decide_agreement(before, sign(valid_to=date(2027, 6, 30)), POLICY))
    after = evolve_agreement(before, signed)
    assert after is not None
    assert after.valid_to == date(2027, 6, 30)


def test_the_same_agreement_signed_again_changes_nothing() -> None:
    assert decide_agreement(agreement("bank-a"), sign(), POLICY) == Accepted(duplicate=True)


def test_an_agreement_counts_from_its_first_to_its_last_day() -> None:
    signed = agreement("bank-a", valid_from=day("2026-03-01"), valid_to=day("2026-03-31"))
    found = [signed.valid_on(day(each)) for each in ("2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01")]
    assert found == [False, True, True, False]


def test_a_terminated_agreement_does_not_count_until_it_is_signed_again() -> None:
    ended = InstitutionSanctioned(
        institution="bank-a", measure="terminate", reason="合谋", sanctioned_on=day("2026-05-01")
    )
    terminated = evolve_agreement(agreement("bank-a"), ended)
    assert terminated is not None
    assert not terminated.valid_on(day("2026-05-01"))
    (again,) = accepted(decide_agreement(terminated, sign(), POLICY))
    renewed = evolve_agreement(terminated, again)
    assert renewed is not None
    assert renewed.valid_on(day("2026-05-02"))


def test_a_reduction_outlives_a_new_agreement() -> None:
    reduced = InstitutionSanctioned(
        institution="bank-a", measure="reduce", reduction=Decimal("0.30"), reason="提价",
        sanctioned_on=day("2026-05-01"),
    )
    before = evolve_agreement(agreement("bank-a"), reduced)
    (again,) = accepted(decide_agreement(before, sign(valid_to=date(2030, 1, 1)), POLICY))
    after = evolve_agreement(before, again)
    assert after is not None
    assert after.reduction == Decimal("0.30")


def test_lower_collateral_comes_first_then_the_lower_rate_then_an_own_product() -> None:
    able = [
        agreement("bank-e"),
        agreement("bank-d", terms=terms("0.0300", "full")),
        agreement("bank-c", terms=terms("0.0385", "partial")),
        agreement("bank-b", terms=terms("0.0385", "partial", own=True)),
        agreement("bank-a", terms=terms("0.0400", "none")),
        agreement("insurer-a", "insurer", products=("insurance",), terms=terms("0.0100", "none", own=True)),
    ]
    ranked = rank(able, "bank", ORDER)
    assert [each.institution for each in ranked] == ["bank-a", "bank-b", "bank-c", "bank-d", "bank-e"]
    assert [each.place for each in ranked] == [1, 2, 3, 4, 5]
    assert ranked[1].reasons == ("collateral:partial", "annual_rate_from:0.0385", "own_product:yes")
    assert ranked[4].reasons == ("terms:unknown",)


def test_the_scheme_says_in_which_order_the_merits_count() -> None:
    able = [agreement("bank-a", terms=terms("0.0400", "none")), agreement("bank-b", terms=terms("0.0300", "full"))]
    assert [each.institution for each in rank(able, "bank", ("annual_rate_from",))] == ["bank-b", "bank-a"]


def test_a_rating_carries_the_lists_of_every_product() -> None:
    ranked = rank_all([agreement("bank-a"), agreement("insurer-a", "insurer", products=("insurance",))], ORDER)
    places = [(each.product, each.institution, each.place) for each in ranked]
    assert places == [
        ("bank", "bank-a", 1), ("guarantee", "bank-a", 1), ("insurance", "bank-a", 1), ("insurance", "insurer-a", 2)
    ]
