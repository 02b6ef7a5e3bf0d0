"""The contract may grow, never break: schemas against the golden file, and the two published documents as documents."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from riskpool.documents import ROOT, SCHEMAS, asyncapi, breaking, openapi, schemas
from shared.contracts.base import Message
from shared.contracts.partners import LoanDisbursed
from shared.contracts.registry import COMMANDS, EVENTS, PARTNER_EVENTS
from shared.messaging.receipts import Receipt

Schema = dict[str, Any]
GOLDEN: Schema = json.loads((ROOT / SCHEMAS).read_text())
LOAN = "partner.LoanDisbursed"


def changed(change: Callable[[Schema], object]) -> list[str]:
    """What ``breaking`` says of the golden schemas after a change of one partner event."""
    after = copy.deepcopy(GOLDEN)
    change(after[LOAN])
    return breaking(GOLDEN, after)


def add_optional_field(schema: Schema) -> None:
    schema["properties"]["collateral"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


def remove_field(schema: Schema) -> None:
    del schema["properties"]["insurer"]


def rename_field(schema: Schema) -> None:
    schema["properties"]["amount"] = schema["properties"].pop("principal")
    schema["required"][schema["required"].index("principal")] = "amount"


def require_optional_field(schema: Schema) -> None:
    schema["required"].append("insurer")


def require_new_field(schema: Schema) -> None:
    schema["properties"]["collateral"] = {"type": "string"}
    schema["required"].append("collateral")


def narrow_enum(schema: Schema) -> None:
    schema["properties"]["product"]["enum"].remove("insurance")


def narrow_enum_to_one(schema: Schema) -> None:
    del schema["properties"]["product"]["enum"]
    schema["properties"]["product"]["const"] = "bank"


def no_longer_null(schema: Schema) -> None:
    schema["properties"]["insurer"]["anyOf"].pop()


def change_type(schema: Schema) -> None:
    schema["properties"]["principal"]["type"] = "number"


def shorten_text(schema: Schema) -> None:
    schema["properties"]["loan_no"]["maxLength"] = 10


def limit_text(schema: Schema) -> None:
    schema["properties"]["annual_rate"]["maxLength"] = 6


def forbid_other_fields(schema: Schema) -> None:
    schema["additionalProperties"] = False


def test_the_contract_keeps_every_promise_of_the_golden_file() -> None:
    assert breaking(GOLDEN, schemas()) == []


def test_the_golden_file_holds_every_message() -> None:
    missing = schemas().keys() - GOLDEN.keys()
    assert not missing, "run `riskpool docs` and commit the result"


def test_an_added_optional_field_and_an_added_message_break_nothing() -> None:
    assert changed(add_optional_field) == []
    assert breaking(GOLDEN, {**GOLDEN, "partner.LoanExtended": {"type": "object"}}) == []


def test_other_words_in_a_description_break_nothing() -> None:
    assert changed(lambda schema: schema.update(description="said better", title="Another")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove_field, "/properties/insurer is gone"),
        (rename_field, "/properties/principal is gone"),
        (require_optional_field, "now requires insurer"),
        (require_new_field, "now requires collateral"),
        (narrow_enum, "no longer allows 'insurance'"),
        (narrow_enum_to_one, "/product/enum is gone"),
        (no_longer_null, "/insurer/anyOf changed"),
        (change_type, "/principal/type changed"),
        (shorten_text, "/loan_no/maxLength changed"),
        (limit_text, "/annual_rate now has maxLength"),
        (forbid_other_fields, f"/{LOAN} now has additionalProperties"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_breaking_change_is_named(change: Callable[[Schema], object], said: str) -> None:
    found = changed(change)
    assert found and all(line.startswith(f"/{LOAN}") for line in found)
    assert any(said in line for line in found), found


def test_a_field_may_be_called_like_a_word_of_json_schema() -> None:
    old = {"m": {"properties": {"title": {"type": "string"}, "required": {"type": "string"}}, "required": ["title"]}}
    new = {"m": {"properties": {"pattern": {"type": "string"}, "title": {"type": "string"}}, "required": ["title"]}}
    assert breaking(old, new) == ["/m/properties/required is gone"]
    assert breaking(new, old) == ["/m/properties/pattern is gone"]


def test_a_message_that_is_gone_is_named() -> None:
    assert breaking(GOLDEN, {name: one for name, one in GOLDEN.items() if name != LOAN}) == [f"/{LOAN} is gone"]


# -- AsyncAPI ----------------------------------------------------------------------------------------------------------

ASYNC = asyncapi()


def payload(channel: str, message: str) -> Schema:
    """The payload of a channel's message as a schema that stands alone."""
    found: Schema = ASYNC["channels"][channel]["messages"][message]["payload"]
    return {**found, "components": ASYNC["components"]}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (str(one) for key, one in value.items() if key == "$ref")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from references(inner)


def test_every_message_on_the_bus_has_a_channel_with_its_subject_as_address() -> None:
    wanted = {f"{service}_{name}": f"events.{{scheme}}.{service}.{name}" for service, name in EVENTS}
    wanted |= {f"partner_{name}": f"partners.{{institution}}.{{scheme}}.{name}" for name in PARTNER_EVENTS}
    wanted["receipt"] = "receipts.{institution}.{scheme}.{event}"
    assert {key: channel["address"] for key, channel in ASYNC["channels"].items()} == wanted
    assert {operation["channel"]["$ref"] for operation in ASYNC["operations"].values()} == {
        f"#/channels/{key}" for key in wanted
    }


def test_each_channel_declares_exactly_the_parameters_of_its_address() -> None:
    for channel in ASYNC["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))


def test_every_reference_of_the_document_leads_somewhere() -> None:
    for reference in set(references(ASYNC)):
        place: Any = ASYNC
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]


def test_every_payload_is_a_json_schema() -> None:
    for key, channel in ASYNC["channels"].items():
        for name in channel["messages"]:
            Draft202012Validator.check_schema(payload(key, name))


def enveloped(message: Message | Receipt, source: str) -> Schema:
    return {
        "specversion": "1.0", "id": "1", "source": source, "type": f"riskpool.{type(message).__name__}.v1",
        "time": "2026-03-02T09:00:00+08:00", "data": message.model_dump(mode="json"),
    }  # fmt: skip


def test_a_real_event_and_a_real_receipt_are_valid_and_a_number_for_money_is_not() -> None:
    loan = LoanDisbursed(
        uscc="91110119MA7XK2Q34P", loan_no="A-1", product="bank", principal=100, annual_rate=Decimal("0.04"),
        disbursed_on=date(2026, 1, 5), matures_on=date(2027, 1, 4),
    )  # fmt: skip
    event = enveloped(loan, "/partners/bank-a")
    check = Draft202012Validator(payload("partner_LoanDisbursed", "LoanDisbursed"))
    assert [error.message for error in check.iter_errors(event)] == []
    event["data"]["principal"] = 1.00
    assert not check.is_valid(event)
    receipt = Receipt(event_id="1", outcome="accepted", at=datetime.fromisoformat("2026-03-02T09:00:00+08:00"))
    assert Draft202012Validator(payload("receipt", "Receipt")).is_valid(enveloped(receipt, "/services/review"))


# -- OpenAPI -----------------------------------------------------------------------------------------------------------


def test_openapi_has_one_path_a_command_whose_body_is_the_commands_own_schema() -> None:
    document = openapi()
    assert document["openapi"].startswith("3.1")
    prefix = "/v1/schemes/{scheme}/commands/"
    paths = {path.removeprefix(prefix): item for path, item in document["paths"].items() if path.startswith(prefix)}
    assert paths.keys() == COMMANDS.keys()
    for name, item in paths.items():
        assert item.keys() == {"post"}
        schema = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{name}"}
        assert document["components"]["schemas"][name]["properties"].keys() == COMMANDS[name].model_fields.keys()


def test_every_reference_of_openapi_leads_somewhere_and_every_component_is_a_json_schema() -> None:
    document = openapi()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
