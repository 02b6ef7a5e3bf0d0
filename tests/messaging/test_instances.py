"""Two builds of one version can be told apart."""

import subprocess

import pytest

from shared.messaging.instances import BUILD, ROOT, version


def test_the_build_that_is_given_stands_behind_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUILD, "")
    release, _, here = version().partition("+")
    monkeypatch.setenv(BUILD, "another")
    assert version() == f"{release}+another" and here != "another"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_without_one_it_is_the_commit_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BUILD, raising=False)
    done = subprocess.run(["git", "describe", "--always"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert version().partition("+")[2].removesuffix("-dirty") == done.stdout.strip()
