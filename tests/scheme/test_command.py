"""`riskpool scheme`: check, show, classify."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from riskpool.cli import app
from shared.scheme.loader import SHIPPED, load_scheme

RUN = CliRunner()


def test_check_says_what_a_good_file_holds() -> None:
    result = RUN.invoke(app, ["scheme", "check", str(SHIPPED / "yanqing.toml")])
    assert result.exit_code == 0
    assert load_scheme("yanqing").version in result.stdout


def test_check_lists_every_problem_and_exits_with_one(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    changes = '[settings]\n"pause.at" = {value = "7"}\n"fee.min" = {value = "1.00"}\n'
    path.write_text(f'id = "bad"\nextends = "yanqing"\n{changes}')
    result = RUN.invoke(app, ["scheme", "check", str(path)])
    assert result.exit_code == 1
    assert "pause.at (三(八))" in result.stderr
    assert "fee.min (二(二)2)" in result.stderr


def test_show_lists_every_setting_with_its_clause() -> None:
    result = RUN.invoke(app, ["scheme", "show", "--scheme", "yanqing"])
    assert result.exit_code == 0
    for setting in load_scheme("yanqing").settings.values():
        assert f"│ {setting.key} " in result.stdout


@pytest.mark.parametrize(
    ("options", "size"),
    [(["industrial", "--employees", "120", "--revenue", "36000000.00"], "small"),
     (["industrial", "--employees", "300", "--revenue", "20000000"], "medium"),
     (["construction", "--revenue", "60000000", "--assets", "50000000.00"], "medium"),
     (["software", "--employees", "10", "--revenue", "499900"], "micro"),
     (["industrial", "--employees", "19", "--revenue", "1000000000"], "micro"),
     (["other", "--employees", "300"], "large")],
)
def test_classify_ends_with_the_class(options: list[str], size: str) -> None:
    result = RUN.invoke(app, ["scheme", "classify", "--industry", *options])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == size


@pytest.mark.parametrize(
    ("options", "named"),
    [(["construction", "--revenue", "1"], "assets"), (["wholesale", "--employees", "1"], "revenue"),
     (["other", "--revenue", "1"], "employees"), (["mining"], "industrial"),
     (["agriculture", "--revenue", "1.5"], "--revenue"), (["agriculture", "--revenue", "-1"], "--revenue"),
     (["agriculture", "--revenue", "1e6"], "--revenue")],
)
def test_classify_names_what_is_missing_or_wrong(options: list[str], named: str) -> None:
    result = RUN.invoke(app, ["scheme", "classify", "--industry", *options])
    assert result.exit_code == 1
    assert named in result.stderr
    assert result.stdout == ""
