"""Every refusal has a sentence a clerk can act on, in both languages, and explaining never fails."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scheme.loader import load_scheme
from shared.scheme.refusals import DIRECTORY, PLACEHOLDER, explain, sentences

CORE = {
    "permission", "unknown", "idempotency.mismatch", "malformed", "too_large", "no_answer", "unreadable",
    "authentication", "clock", "internal", "media_type", "method", "refused", "request", "signin", "unavailable",
    "bus", "parked", "upload",
}  # fmt: skip


@pytest.mark.parametrize("key", sorted(sentences()))
def test_a_sentence_says_the_same_in_both_languages(key: str) -> None:
    sentence = sentences()[key]
    assert set(sentence) == {"zh", "en"}
    assert set(PLACEHOLDER.findall(sentence["zh"])) == set(PLACEHOLDER.findall(sentence["en"]))
    for text in sentence.values():
        assert "{" not in PLACEHOLDER.sub("", text)


@pytest.mark.parametrize("key", sorted(sentences()))
def test_a_sentence_belongs_to_a_rule_that_exists(key: str) -> None:
    assert key.split("/")[0] in CORE | set(load_scheme("yanqing").rules)


def test_no_two_files_give_the_same_sentence() -> None:
    keys = [key for file in DIRECTORY.glob("*.toml") for key in tomllib.loads(file.read_text(encoding="utf-8"))]
    assert len(keys) == len(set(keys))


def test_figures_fill_the_sentence_and_a_missing_one_is_a_dash() -> None:
    assert "A-0001" in explain("unknown", "loan", {"loan_no": "A-0001"}, "en")
    assert "—" in explain("unknown", "loan", {}, "zh")


def test_a_reason_without_its_own_sentence_takes_the_rules_and_else_its_title() -> None:
    assert explain("unknown", "nothing", {}, "en").startswith("What you refer to")
    assert explain("priority.sector", "", {}, "zh") == "重点领域优先"
    assert explain("priority.sector", "x", {}, "en", load_scheme("yanqing")) == "Priority sectors come first"
    assert explain("not.a_rule") == "not.a_rule"


@given(st.sampled_from(sorted(sentences())), st.dictionaries(st.text(), st.text()), st.sampled_from(["zh", "en"]))
def test_explaining_never_fails(key: str, figures: dict[str, str], language: str) -> None:
    rule, _, reason = key.partition("/")
    assert explain(rule, reason, figures, "zh" if language == "zh" else "en")
