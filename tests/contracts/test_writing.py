"""The JSON of a message is the same to the byte, whether pydantic and json write it or our own writer."""

import json
from datetime import date
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from shared.contracts.base import Message, Why, made
from shared.contracts.pool import Entry
from shared.contracts.registry import COMMANDS, EVENTS, PARTNER_EVENTS

MESSAGES: list[type[Message]] = [*EVENTS.values(), *COMMANDS.values(), *PARTNER_EVENTS.values()]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.just('"\\\n/代偿\u2028\x7f😀')
FEN = st.integers(min_value=-(10**15), max_value=10**15) | st.sampled_from([0, -1, 1, 99, 100, -100])
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT, bool: st.booleans(), int: FEN, date: st.dates(),
    Decimal: st.decimals(0, 999, places=8) | st.sampled_from([Decimal("0.5"), Decimal("0.50"), Decimal("1E+2")]),
}  # fmt: skip


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, within what its limits allow or beyond: writing must not depend on them."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return st.one_of([st.none() if one is NoneType else values(one) for one in inner])
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values(inner[1]), max_size=2)
    assert issubclass(annotation, BaseModel), annotation
    return shapes(annotation)


def shapes(cls: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Objects of a class with any values."""
    fields = {name: values(field.annotation) for name, field in cls.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda given: cls.model_construct(**given))


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}")
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_a_message_is_written_as_pydantic_and_json_write_it(cls: type[Message], data: st.DataObject) -> None:
    message = data.draw(shapes(cls))
    assert message.json_data() == json.dumps(
        message.model_dump(mode="json", warnings=False), ensure_ascii=False, separators=(",", ":")
    )


def test_what_is_made_unchecked_equals_what_is_checked_down_to_the_order_of_its_fields() -> None:
    for made_so, checked in (
        (made(Why, figures={"a": "1"}, rule="pool.pause"), Why(rule="pool.pause", figures={"a": "1"})),
        (made(Entry, amount=1, account="cash"), Entry(account="cash", amount=1)),
        (made(Entry, amount=2, account="cash").but(amount=1), Entry(account="cash", amount=1)),
    ):
        assert made_so == checked
        assert made_so.model_dump_json() == checked.model_dump_json()
        assert made_so.model_copy() == checked and repr(made_so) == repr(checked)
        assert made_so.model_fields_set == set(type(checked).model_fields)
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = made_so.nothing


def test_a_change_leaves_what_it_was_made_from() -> None:
    before = Entry(account="cash", amount=1)
    assert before.but(amount=2) == Entry(account="cash", amount=2)
    assert before.amount == 1

