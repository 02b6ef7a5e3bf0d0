"""Reading a story: dates, defaults, macros, repetition, and what a malformed story is told."""

from datetime import date
from pathlib import Path

import pytest

from riskpool.scenario.codes import synthetic_uscc
from riskpool.scenario.story import Step, StoryError, load_story
from shared.uscc import problem_with

HEAD = "scheme: yanqing\n"
SIGN = "by: drc, do: SignAgreement"


def steps_of(tmp_path: Path, text: str) -> tuple[Step, ...]:
    (tmp_path / "story.yaml").write_text(HEAD + text, encoding="utf-8")
    return load_story(tmp_path / "story.yaml").steps


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(StoryError) as told:
        steps_of(tmp_path, text)
    return str(told.value)


def test_on_is_a_word_and_dates_become_texts(tmp_path: Path) -> None:
    (step,) = steps_of(tmp_path, f"steps: [{{on: 2026-01-05, {SIGN}, with: {{valid_from: 2026-01-01, kind: no}}}}]")
    assert step.on == date(2026, 1, 5)
    assert step.fields == {"valid_from": "2026-01-01", "kind": "no"}


def test_a_step_without_a_date_stands_on_the_day_before_it_or_some_days_later(tmp_path: Path) -> None:
    steps = steps_of(
        tmp_path, "steps: [{on: 2026-01-30}, {expect: /pool, match: {}}, {on: +3, expect: /pool, match: {}}]"
    )
    assert [step.on.isoformat() for step in steps] == ["2026-01-30", "2026-01-30", "2026-02-02"]


def test_defaults_lie_under_the_fields_of_a_step_and_null_leaves_one_out(tmp_path: Path) -> None:
    text = """
defaults: {LoanDefaulted: {classified: loss, classified_on: "${on}", evidence: ["认定表${loan_no}"], note: "x"}}
steps: [{on: 2026-01-05, by: bank-a, do: LoanDefaulted, with: {loan_no: A-1, classified: doubtful, note: null}}]
"""
    (step,) = steps_of(tmp_path, text)
    assert step.fields == {
        "classified": "doubtful", "classified_on": "2026-01-05", "evidence": ["认定表A-1"], "loan_no": "A-1",
    }  # fmt: skip


def test_a_macro_plays_its_steps_with_parameters_defaults_and_sums(tmp_path: Path) -> None:
    text = """
macros:
  lend:
    defaults: {bank: bank-a, branch: "${bank}-branch"}
    steps:
      - {by: "${bank}", do: LoanDisbursed, with: {uscc: "${uscc:${number}}", matures_on: "${on+365}", at: "${branch}"}}
steps:
  - {on: 2026-01-05, play: lend, with: {number: 7}}
  - {on: 2026-01-06, repeat: 2, play: lend, with: {number: "${n+10}", bank: bank-b}}
  - {repeat: [x, y], expect: "/loans/${item}", status: 404}
"""
    steps = steps_of(tmp_path, text)
    assert [step.by for step in steps] == ["bank-a", "bank-b", "bank-b", "", ""]
    assert steps[0].fields == {"uscc": synthetic_uscc(7), "matures_on": "2027-01-05", "at": "bank-a-branch"}
    assert steps[2].fields["uscc"] == synthetic_uscc(12)
    assert [step.expect for step in steps[3:]] == ["/loans/x", "/loans/y"]
    assert [step.label for step in steps] == ["1 lend.1", "2#1 lend.1", "2#2 lend.1", "3#1", "3#2"]


def test_macros_and_defaults_come_from_files_beside_the_story(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("macros: {look: [{expect: /pool, match: {state: active}}]}", encoding="utf-8")
    (step,) = steps_of(tmp_path, "use: part.yaml\nsteps: [{on: 2026-01-05, play: look}]")
    assert (step.expect, step.match) == ("/pool", {"state": "active"})


def test_the_custodian_that_the_runner_plays_is_the_one_that_signed(tmp_path: Path) -> None:
    text = f"steps: [{{on: 2026-01-05, {SIGN}, with: {{institution: icbc, kind: custodian}}}}]"
    (tmp_path / "story.yaml").write_text(HEAD + "custodian: auto\n" + text, encoding="utf-8")
    assert load_story(tmp_path / "story.yaml").custodian == "icbc"


def test_a_scheme_may_be_a_file_beside_the_story(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('id = "own"\nextends = "yanqing"\n', encoding="utf-8")
    (tmp_path / "story.yaml").write_text("scheme: own.toml\nsteps: [{on: 2026-01-05}]", encoding="utf-8")
    assert load_story(tmp_path / "story.yaml").scheme_file == (tmp_path / "own.toml").resolve()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: []", "steps must be a list with at least one step"),
        ("stops: []", "unknown key stops"),
        ("steps: [{on: 2026-01-05, by: drc, do: SignAgreemint}]", "step 1: there is no command or partner event"),
        (f"steps: [{{on: 2026-01-05, {SIGN}, wth: {{}}}}]", "step 1: unknown key wth"),
        ("steps: [{on: 2026-01-05, do: SignAgreement}]", "step 1: by is missing"),
        ("steps: [{by: drc, do: SignAgreement}]", "step 1: on is missing"),
        ("steps: [{on: 05.01.2026}]", "step 1: on: '05.01.2026' is not a date"),
        ("steps: [{on: 2026-01-05}, {on: 2026-01-04}]", "step 2: 2026-01-04 is before 2026-01-05"),
        ("steps: [{on: 2026-01-05, expect: pool, match: {}}]", "step 1: expect is a path"),
        ("steps: [{on: 2026-01-05, expect: /pool}]", "step 1: expect needs match"),
        ("steps: [{on: 2026-01-05, play: nothing}]", "step 1: there is no macro nothing"),
        ("steps: [{on: 2026-01-05, repeat: 0}]", "step 1: repeat is a number from 1"),
        (f"steps: [{{on: 2026-01-05, {SIGN}, with: {{name: '${{who}}'}}}}]", "step 1: ${who} is not known here"),
        ("custodian: maybe\nsteps: [{on: 2026-01-05}]", "custodian is auto or manual"),
        ("macros: {a: [{play: a}]}\nsteps: [{on: 2026-01-05, play: a}]", "macros play each other without end"),
        ("use: gone.yaml\nsteps: [{on: 2026-01-05}]", "there is no file gone.yaml"),
        ("steps: [{on: 2026-01-05", "is not valid YAML"),
    ],
)
def test_a_malformed_story_is_told_what_is_wrong_and_where(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text)


@pytest.mark.parametrize("number", [0, 1, 31, 999, 999_999])
def test_synthetic_codes_have_both_check_characters(number: int) -> None:
    assert problem_with(synthetic_uscc(number)) is None


def test_every_shipped_story_can_be_read() -> None:
    folder = Path(__file__).parents[2] / "riskpool" / "scenarios"
    stories = [load_story(path) for path in sorted(folder.glob("*.yaml"))]
    assert len(stories) >= 20 and all(story.steps for story in stories)
