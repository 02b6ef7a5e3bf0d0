"""Forms of the contract: what they ask and how what is posted becomes the message."""

import json
from typing import Any

import pytest

from services.gateway.console.doing import back_of
from services.gateway.console.forms import fixed_of, form_of, kind_of, read, row_count
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS


def posted(**fields: Any) -> dict[str, list[str]]:
    return {name.replace("__", "."): value if isinstance(value, list) else [value] for name, value in fields.items()}


def data_of(form: str, **fields: Any) -> dict[str, Any]:
    return read(form_of(form).fields, posted(**fields))


@pytest.mark.parametrize("name", [*COMMANDS, *PARTNER_EVENTS])
def test_every_message_has_a_form_with_all_its_fields(name: str) -> None:
    model = COMMANDS.get(name) or PARTNER_EVENTS[name]
    assert [field.name for field in form_of(name).fields] == list(model.model_fields)


def test_money_is_read_as_people_write_it() -> None:
    for written, meant in (("5,000,000", "5000000.00"), ("12.5", "12.50"), ("0.01", "0.01"), ("五百", "五百")):
        assert data_of("InjectCapital", amount=written) == {"amount": meant}


def test_a_percentage_is_a_ratio() -> None:
    for written, meant in (("3.85%", "0.0385"), ("100%", "1"), ("0.05", "0.05"), ("x%", "x%")):
        assert data_of("ApproveFee", rate=written) == {"rate": meant}


def test_rows_without_content_are_left_out() -> None:
    rows = {"waivers__0__rule": "eligible.need_cap", "waivers__0__reason": "龙头企业", "waivers__1__rule": ""}
    assert data_of("ScreenReferral", decision="admit", **rows) == {
        "decision": "admit",
        "waivers": [{"rule": "eligible.need_cap", "reason": "龙头企业"}],
    }


def test_a_row_that_asks_counts_only_when_it_is_ticked() -> None:
    rows = {"excluded__0__loan_no": "A-1", "excluded__0__reason": "材料不全", "excluded__0___ask": "1"}
    assert data_of("ConsentClaimBatch", half="2026H1", **rows) == {"half": "2026H1"}
    assert data_of("ConsentClaimBatch", half="2026H1", excluded__0___use="1", **rows)["excluded"] == [
        {"loan_no": "A-1", "reason": "材料不全"}
    ]


def test_what_is_read_is_what_the_contract_takes() -> None:
    data = data_of(
        "SignAgreement",
        institution="guarantor-a",
        kind="guarantor",
        name="丁担保",
        valid_from="2026-01-01",
        valid_to="2028-12-31",
        products=["guarantee"],
        guarantor_shares__0__key="bank-a",
        guarantor_shares__0__value="20%",
        terms__annual_rate_from="3.6%",
        terms__collateral="none",
        terms__own_product="true",
    )
    signed = COMMANDS["SignAgreement"].model_validate_json(json.dumps(data))
    assert signed.model_dump(mode="json")["guarantor_shares"] == {"bank-a": "0.20"}
    assert signed.model_dump(mode="json")["terms"]["own_product"] is True


def test_a_refused_form_knows_its_hidden_fields_and_rows() -> None:
    sent = posted(_fixed="uscc", uscc="X", shareholders__3__name="a")
    assert fixed_of(sent) == {"uscc": ["X"]}
    assert row_count(sent, "shareholders") == 4
    assert kind_of(form_of("ReferEnterprise"), "shareholders.3.share") == "rate"


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", ""])
def test_nobody_is_sent_to_another_site(back: str) -> None:
    assert back_of(posted(_back=back)) == "/"


def test_one_goes_back_to_the_page_of_the_form() -> None:
    assert back_of(posted(_back="/cases/X?status=rated#votes")) == "/cases/X?status=rated#votes"
