"""A scheme file is read whole, or refused with every problem at once."""

import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from shared.contracts.base import Day, Fen, Rate
from shared.scheme.allowed import SETTINGS, problems_of_settings
from shared.scheme.loader import SHIPPED, Policy, Scheme, SchemeError, load_scheme, load_schemes


def _write(tmp_path: Path, text: str, name: str = "test.toml", extends: str = 'extends = "yanqing"') -> Path:
    path = tmp_path / name
    path.write_text(f'id = "{path.stem}"\n{extends}\n{text}', encoding="utf-8")
    return path


def _with(tmp_path: Path, **values: str) -> Scheme:
    lines = [f'"{key.replace("__", ".")}" = {{value = {value}}}' for key, value in values.items()]
    return load_scheme(_write(tmp_path, "[settings]\n" + "\n".join(lines)))


def _problems(path: Path) -> list[str]:
    with pytest.raises(SchemeError) as error:
        load_scheme(path)
    return error.value.problems


def test_the_shipped_scheme_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISKPOOL_SCHEMES", raising=False)
    scheme = load_schemes()["yanqing"]
    assert scheme.value("pause.at") == "0.70"
    assert scheme.clause("pool.pause") == "三(八)"
    assert scheme.organisations["badaling"].name == "八达岭镇"
    assert scheme.version == load_scheme("yanqing").version
    assert len(scheme.version) == 64


def test_an_extending_file_changes_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    scheme = _with(tmp_path, pause__at='"0.60"', claim__deadline_months="3")
    assert (scheme.id, scheme.value("pause.at"), scheme.value("resume.at")) == ("test", "0.60", "0.50")
    assert scheme.settings["pause.at"].clause == "三(八)"
    assert scheme.version != load_scheme("yanqing").version


def test_a_changed_value_drops_the_reading_it_had_and_an_unchanged_one_keeps_it(tmp_path: Path) -> None:
    scheme = _with(tmp_path, claim__deadline_months="3", claim__statement_days="90")
    assert scheme.settings["claim.deadline_months"].reading == ""
    assert scheme.settings["claim.statement_days"].reading != ""


def test_an_extending_file_may_extend_another_one_beside_it(tmp_path: Path) -> None:
    _write(tmp_path, '[settings]\n"pause.at" = {value = "0.60"}\n"resume.at" = {value = "0.40"}', "middle.toml")
    top = _write(tmp_path, '[settings]\n"pause.at" = {value = "0.65"}', "top.toml", 'extends = "middle.toml"')
    scheme = load_scheme(top)
    assert (scheme.id, scheme.value("pause.at"), scheme.value("resume.at")) == ("top", "0.65", "0.40")


def test_organisations_and_rules_are_added_by_an_extending_file(tmp_path: Path) -> None:
    scheme = load_scheme(_write(
        tmp_path,
        '[organisations]\nsports = {kind = "department", name = "区体育局"}\n[rules]\n"panel.tie" = {clause = "九"}\n'
        '"local.rule" = {clause = "九", zh = "本地规则", en = "A local rule"}',
    ))
    assert scheme.organisations["sports"].kind == "department"
    assert (scheme.clause("panel.tie"), scheme.rules["panel.tie"].en[:5]) == ("九", "No ma")
    assert scheme.clause("local.rule") == "九"


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, "", "one.toml", 'extends = "two.toml"')
    assert "circle" in _problems(_write(tmp_path, "", "two.toml", 'extends = "one.toml"'))[0]


@pytest.mark.parametrize(
    ("key", "value", "clause", "allowed"),
    [
        ("pause.at", '"0"', "三(八)", "above 0"), ("pause.at", '"1.01"', "三(八)", "up to 1"),
        ("pause.at", "0.70", "三(八)", "decimal string"), ("pause.at", '"-0.5"', "三(八)", "decimal string"),
        ("resume.at", '"x"', "三(八)", "decimal string"), ("pause.measure", '"weekly"', "三(八)", '"net"'),
        ("pause.crossing", '"skip"', "三(八)", '"in_full"'), ("panel.tie", '"coin"', "三(三)", "revote_then_lead"),
        ("claim.base", '"interest"', "三(六)", "principal"), ("recovery.split", '"pool_first"', "三(七)", "pro_rata"),
        ("payout.order", '"amount"', "三(六)", "consent,accepted,id"),
        ("need.cap", '"5000000"', "二(一)", "two decimals"),
        ("need.cap", "5000000", "二(一)", "two decimals"), ("need.cap", '"0.00"', "二(一)", "above zero"),
        ("need.cap_principle", '"yes"', "二(一)", "true or false"), ("clean_record.months", "-1", "二(一)", "months"),
        ("clean_record.months", "true", "二(一)", "months"),
        ("term.effective_from", '"2026-01-01"', "六", "2026-01-01"),
        ("capital.sources", "{}", "二(二)1", "source"), ("capital.sources", '{a = "1"}', "二(二)1", "two decimals"),
        ("grades", '{high = "1.00"}', "二(四)", "medium"), ("materials", '["passport"]', "二(三)3", "tax"),
        ("materials", '["tax", "tax"]', "二(三)3", "once"), ("materials", "[1]", "二(三)3", "tax"),
        ("products", "[]", "二(五)", "insurance"), ("size_standard", '"gb-1"', "二(一)", "size_standards"),
        ("region", '"延庆"', "二(一)", "six digits"), ("obligations", "[{kind = 1}]", "三(六)", "due_months"),
        ("writeoff.grounds", '["execution_suspended"]', "三(七)", "execution_terminated"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_clause_and_what_is_allowed(
    tmp_path: Path, key: str, value: str, clause: str, allowed: str
) -> None:
    (problem,) = _problems(_write(tmp_path, f'[settings]\n"{key}" = {{value = {value}}}'))
    assert problem.startswith(f"{key} (")
    assert clause in problem
    assert allowed in problem.split("allowed:", 1)[1]


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    problems = _problems(_write(
        tmp_path,
        '[settings]\n"pause.att" = {value = "0.7"}\n"fee.min" = {value = "0.30"}\n"need.cap" = {value = "1"}\n'
        '"quota.per_quarter" = 5\n[organisations]\nbank-a = {kind = "bank", name = "甲银行"}\nX = {kind = "king"}\n',
    ))
    starts = {"pause.att: unknown setting; did you mean pause.at", "fee.min (二(二)2): 0.30 is above fee.max 0.20",
              "need.cap (二(一)): '1'", "quota.per_quarter: allowed in its table",
              "organisations.bank-a: an institution",
              "organisations.X: "}
    for start in starts:
        assert [line for line in problems if line.startswith(start)], (start, problems)


def test_a_file_of_its_own_must_have_every_setting_rule_and_organisation(tmp_path: Path) -> None:
    problems = _problems(_write(tmp_path, "", extends=""))
    starts = ("name: missing", "pause.at: missing; allowed: ", "rules.pool.pause: missing", "organisations: exactly")
    for start in starts:
        assert [line for line in problems if line.startswith(start)], start


def test_a_full_copy_needs_no_extends(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text((SHIPPED / "yanqing.toml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load_scheme(path).version == load_scheme("yanqing").version


def test_a_dotted_key_without_quotes_is_explained(tmp_path: Path) -> None:
    (problem,) = _problems(_write(tmp_path, '[settings.need.cap]\nvalue = "1.00"'))
    assert "did you mean need.cap" in problem
    assert "quoted" in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [('id = "x"\nid = "y"', "is not TOML"), ('id = "x"\nextends = 3', "extends"),
     ('extends = "yanqing"', "id: missing"),
     ('id = "x"\nextends = "yanqing"\ncolour = "red"', "colour: unknown"),
     ('id = "x"\nsettings = 3', "must be a table"),
     ('id = "延庆"\nextends = "yanqing"', "is not an id"), ('id = "x"\nextends = "nowhere"', "cannot be read")],
)
def test_a_file_of_the_wrong_shape_is_explained(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    assert any(said in problem for problem in _problems(path))


def test_the_environment_lists_the_schemes_of_a_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _write(tmp_path, 'name = "另一基金"', "other.toml")
    monkeypatch.setenv("RISKPOOL_SCHEMES", os.pathsep.join([str(other), "yanqing"]))
    assert {key: scheme.name[:3] for key, scheme in load_schemes().items()} == {"other": "另一基", "yanqing": "延庆区"}
    monkeypatch.setenv("RISKPOOL_SCHEMES", os.pathsep.join([str(other), str(other)]))
    with pytest.raises(SchemeError, match="another scheme"):
        load_schemes()


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.datetimes())
_ANYTHING = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


@given(st.sampled_from(sorted(SETTINGS)), _ANYTHING, st.booleans())
def test_no_value_whatever_its_type_breaks_the_check(key: str, value: object, whole: bool) -> None:
    assert isinstance(problems_of_settings({key: value if whole else {"value": value, "clause": "一"}}), list)


class FundPolicy(Policy):
    """A slice for these tests."""

    cap_fen: Fen = Field(alias="need.cap")
    pause_at: Rate = Field(alias="pause.at")
    effective_from: Day = Field(alias="term.effective_from")
    grades: dict[str, Rate]
    materials: tuple[str, ...]
    sources_fen: dict[str, Fen] = Field(alias="capital.sources")


def test_a_policy_is_the_typed_slice_of_its_service() -> None:
    scheme = load_scheme("yanqing")
    policy = scheme.policy(FundPolicy)
    assert policy is scheme.policy(FundPolicy)
    assert policy.cap_fen == 500_000_000
    assert policy.pause_at == Decimal("0.70")
    assert policy.effective_from == date(2026, 1, 1)
    assert policy.grades["medium"] == Decimal("0.50")
    assert sum(policy.sources_fen.values()) == 3_000_000_000
    assert (policy.scheme_version, policy.organisations["drc"].kind) == (scheme.version, "drc")


def test_a_policy_explains_its_decisions_with_rule_clause_and_figures() -> None:
    policy = load_scheme("yanqing").policy(FundPolicy)
    why = policy.why("pool.pause", counter="21000000.00")
    assert (why.rule, why.clause, why.figures) == ("pool.pause", "三(八)", {"counter": "21000000.00"})
    assert policy.finding("eligible.size", "pass", size="small").clause == "二(一)"


def test_a_policy_field_without_a_setting_is_named() -> None:
    class Wrong(Policy):
        nothing: str = Field(alias="no.such_setting")

    with pytest.raises(SchemeError, match=r"no\.such_setting"):
        load_scheme("yanqing").policy(Wrong)
