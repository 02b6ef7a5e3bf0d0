"""A bank's simulated year on what `make run` has ready: every event has its receipt, and the books follow."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.money import parse_yuan
from tests.system.conftest import RunningStack, Start
from tests.system.test_docs import blocks, reader, run

__all__ = ["reader"]


@pytest.fixture(scope="module")
def demo(start_for_module: Start) -> RunningStack:
    """A stack with the demo data, as `make run` has it."""
    stack = start_for_module("demo", "--demo", "--free-ports").until_ready()
    stack.until_says("Ctrl-C stops everything")
    return stack


@pytest.fixture(scope="module")
def bank(demo: RunningStack, reader: Path) -> httpx.Client:
    """The bank after the page's block: its files are in the reader's place, its year is played."""
    [script] = [one for one in blocks("docs/partners.md", "sh") if "partner simulate" in one]
    here = script.replace("--tokens tokens.yaml", f"--url {demo.nats_url} --api {demo.api_url} --tokens tokens.yaml")
    printed = run(demo, reader, "bash", "-euo", "pipefail", "-c", f"{here.strip()} --json", seconds=400)
    (reader / "year.json").write_text(printed)
    token = (reader / "tokens.yaml").read_text().split("bank-a: ")[1].split()[0]
    return httpx.Client(base_url=f"{demo.api_url}/v1/schemes/yanqing", headers={"Authorization": f"Bearer {token}"})


def lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def simulate(demo: RunningStack, reader: Path, *options: str) -> str:
    where = ("--credentials", "bank-a.creds", "--tokens", "tokens.yaml", "--url", demo.nats_url, "--api", demo.api_url)
    return run(demo, reader, "riskpool", "partner", "simulate", "bank-a", *where, *options)


def test_the_pages_year_has_every_month_and_a_receipt_of_every_event(bank: httpx.Client, reader: Path) -> None:
    *told, summary = lines((reader / "year.json").read_text())
    assert [one["month"] for one in told if "month" in one] == list(range(1, 13))
    events = [one for one in told if "id" in one]
    assert [one for one in told if "by" in one] == [], "somebody else was refused"
    assert {one["event"] for one in events} >= {"LoanDisbursed", "LoanRepaid", "LoanDefaulted"}
    for one in events:
        receipt = bank.get(f"/receipts/{one['id']}").json()
        assert (receipt["outcome"], receipt["rule"] or "") == (one["outcome"], one["rule"])
    counted = sum(number for of in summary["events"].values() for number in of.values())
    assert counted == len(events) and summary["seed"] == 7


def test_what_was_accepted_is_in_the_books(bank: httpx.Client, reader: Path) -> None:
    accepted = [one for one in lines((reader / "year.json").read_text()) if one.get("outcome") == "accepted"]
    loans = {one["loan_no"]: one for one in bank.get("/loans?limit=500").json()["items"]}
    lent = [one["about"] for one in accepted if one["event"] == "LoanDisbursed"]
    assert len(lent) >= 2 and set(lent) <= loans.keys()
    assert {no for no in lent if loans[no]["claim"]} == {
        one["about"] for one in accepted if one["event"] == "LoanDefaulted"
    }
    for loan_no in lent:
        said = [one for one in accepted if (one["event"], one["about"]) == ("LoanRepaid", loan_no)]
        repaid = [one["data"]["principal"] for one in said]
        loan = loans[loan_no]
        assert parse_yuan(loan["outstanding"]) == parse_yuan(loan["principal"]) - sum(map(parse_yuan, repaid))


def test_a_refusal_is_told_with_rule_and_advice_in_words(bank: httpx.Client, demo: RunningStack, reader: Path) -> None:
    printed = simulate(demo, reader, "--seed", "3", "--months", "3")
    assert "month 3 of 3" in printed and "again with: --seed 3" in printed
    refused = [one for one in lines((reader / "year.json").read_text()) if one.get("outcome") == "refused"]
    assert refused and all(one["rule"] and one["detail"] for one in refused)


def test_one_enterprise_alone_can_be_played_by_the_bank_itself(
    bank: httpx.Client, demo: RunningStack, reader: Path
) -> None:
    [running] = bank.get("/loans?status=covered&limit=1").json()["items"]
    (reader / "own.yaml").write_text((reader / "tokens.yaml").read_text().splitlines()[0])
    options = ("--tokens", "own.yaml", "--enterprise", running["uscc"], "--from", "2028-03-01", "--seed", "5")
    *told, _ = lines(simulate(demo, reader, *options, "--months", "6", "--every", "0.01", "--json"))
    assert {one["loans"] for one in told if "month" in one} == {1}
    assert {one["about"] for one in told if "event" in one} == {running["loan_no"]}


@pytest.mark.parametrize(
    ("options", "said"), [((), "there is no file partner.creds"), (("--others",), "--others needs --from")]
)
def test_what_is_missing_is_said(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    if options:
        (tmp_path / "partner.creds").write_text("x")
    command = [sys.executable, "-m", "riskpool", "partner", "simulate", "bank-a", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and said in done.stderr
