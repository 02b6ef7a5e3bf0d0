"""docs/partners.md is written by hand; it names every partner event, each with its fields, senders and owner."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from shared.contracts.base import PartnerEvent
from shared.contracts.partners import RecoveryStatement
from shared.contracts.registry import PARTNER_EVENTS
from shared.messaging.envelope import Envelope
from shared.messaging.receipts import Outcome, Receipt
from shared.scheme.loader import load_scheme

PAGE = (Path(__file__).parents[2] / "docs" / "partners.md").read_text()
SECTIONS = dict(re.findall(r"^### ([A-Za-z]+)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
ROW = re.compile(r"^\| `(\w+)` \| (required|optional) \| (.+) \|$", re.MULTILINE)
CORE_RULES = {"unknown", "permission"}
every_event = pytest.mark.parametrize("event", PARTNER_EVENTS.values(), ids=lambda event: event.__name__)


def choices(schema: dict[str, Any]) -> set[str]:
    found = {str(schema["const"])} if "const" in schema else set()
    return found | set(schema.get("enum", ()))


def examples(language: str) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]


def test_the_page_has_a_section_for_every_event_and_for_no_other() -> None:
    described = {name for name, text in SECTIONS.items() if ROW.search(text)}
    assert described == set(PARTNER_EVENTS)


@every_event
def test_the_table_has_every_field_of_the_event_and_says_which_are_required(event: type[PartnerEvent]) -> None:
    told = {name: need for name, need, _ in ROW.findall(SECTIONS[event.__name__])}
    fields = event.model_fields.items()
    assert told == {name: "required" if field.is_required() else "optional" for name, field in fields}


@every_event
def test_the_text_names_owner_senders_and_the_contracts_own_sentence(event: type[PartnerEvent]) -> None:
    text = " ".join(SECTIONS[event.__name__].split())
    assert f"From: {', '.join(event.senders)}. Taken by: {event.owner}." in text
    assert (event.__doc__ or "").strip() in text


@every_event
def test_a_field_with_fixed_values_names_each_of_them(event: type[PartnerEvent]) -> None:
    rows = {name: what for name, _, what in ROW.findall(SECTIONS[event.__name__])}
    for name, schema in event.model_json_schema()["properties"].items():
        assert {value for value in choices(schema) if f"`{value}`" not in rows[name]} == set(), name


def test_the_fields_of_a_recovery_statement_are_named() -> None:
    names = ", ".join(f'"{name}"' for name in RecoveryStatement.model_fields)
    assert f"{{{names}}}" in SECTIONS["LoanDefaulted"]


@every_event
def test_the_rules_that_are_named_exist_in_the_scheme(event: type[PartnerEvent]) -> None:
    named = re.search(r"May be refused by: (.*?)[.;]\s", " ".join(SECTIONS[event.__name__].split()) + " ")
    assert named is not None
    rules = set(re.findall(r"`([a-z_.]+)`", named[1]))
    assert rules and rules <= load_scheme("yanqing").rules.keys() | CORE_RULES


def test_the_examples_are_an_event_of_the_contract_and_a_receipt() -> None:
    event, receipt = examples("json")
    envelope = Envelope.model_validate(event)
    PARTNER_EVENTS[envelope.name].model_validate_json(json.dumps(envelope.data))
    assert Receipt.model_validate_json(json.dumps(receipt)).event_id == envelope.id


def test_every_outcome_of_a_receipt_is_explained() -> None:
    table = PAGE.partition("## The receipt")[2].partition("###")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) - {"outcome"} == set(get_args(Outcome))
