"""Everything the console says is there in both languages."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

from services.gateway.console.forms import Field, form_of
from services.gateway.console.shell import NAVIGATION
from services.gateway.console.words import LOCALE, catalogue, say, word
from shared.contracts.registry import COMMANDS, EVENTS, PARTNER_EVENTS

ROOM = LOCALE.parent
CHINESE = re.compile(r"[\u4e00-\u9fff]")
METHODS = [("templates/**.html", "jinja2.ext:babel_extract")]
OPTIONS = {"templates/**.html": {"trimmed": "false", "extensions": "jinja2.ext.do"}}


def sentences() -> set[str]:
    """Every Chinese sentence of the templates and of the code."""
    found = {
        message
        for _, _, message, *_ in extract_from_dir(str(ROOM), METHODS, OPTIONS)
        if isinstance(message, str) and CHINESE.search(message)
    }
    for file in ROOM.rglob("*.py"):
        found |= set(re.findall(r'say\([^,()]+, "([^"]*[\u4e00-\u9fff][^"]*)"', file.read_text()))
    return found


def test_every_sentence_has_its_english() -> None:
    missing = sorted(one for one in sentences() if catalogue("en").gettext(one) == one)
    assert len(sentences()) > 50
    assert missing == []


def test_no_english_sentence_is_left_in_chinese() -> None:
    said = [entry for entry in catalogue("en")._catalog.values() if isinstance(entry, str)]  # type: ignore[attr-defined]
    assert [one for one in said if CHINESE.search(one) and "%" not in one and not one.startswith("Content-")] == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_word_of_the_contract_is_known(language: str) -> None:
    names = [("event", name) for _, name in EVENTS]
    names += [("command", name) for name in (*COMMANDS, *PARTNER_EVENTS)]
    names += [("page", key) for key, _ in NAVIGATION]
    for name in (*COMMANDS, *PARTNER_EVENTS):
        for field in every(form_of(name).fields):
            names.append(("field", field.name))
            names += [("value", option) for option in field.options]
    assert sorted({f"{context}:{code}" for context, code in names if word(language, context, code) == code}) == []


def every(fields: tuple[Field, ...]) -> list[Field]:
    return [one for field in fields for one in (field, *every(field.fields))]


def test_a_sentence_is_filled_in() -> None:
    assert say("en", "未能办理：%(what)s", what="Vote") == "Not carried out: Vote"


def test_each_sentence_stands_in_one_file_only() -> None:
    from babel.messages.pofile import read_po

    for directory in sorted(LOCALE.iterdir()):
        seen: dict[object, Path] = {}
        for file in sorted(directory.glob("*.po")):
            with file.open("rb") as content:
                for message in read_po(content):
                    if message.id:
                        key = (message.context, str(message.id))
                        assert key not in seen, f"{key} in {seen[key].name} and {file.name}"
                        seen[key] = file
