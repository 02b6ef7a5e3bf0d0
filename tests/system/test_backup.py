"""A backup while everything runs, restored into an empty place: the same books, and business goes on."""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import run_scenario
from tests.system.conftest import RunningStack, Start

LENDING = Path(__file__).parents[2] / "riskpool" / "scenarios" / "parts" / "lending.yaml"
STORY = f"""
scheme: yanqing
use: {LENDING}
steps:
  - {{on: 2026-01-05, play: open-fund}}
  - {{on: 2026-01-12, play: lend, with: {{uscc: "${{uscc:71}}", loan_no: A-1, principal: "2000000.00"}}}}
"""
AT = "2026-02-02T09:00:00+08:00"


def riskpool(*words: object, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "riskpool", *map(str, words), "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


class Fund:
    """A stack as the commission, the custodian and a bank see it."""

    def __init__(self, stack: RunningStack) -> None:
        tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", {"drc", "custodian", "bank-a"}))
        self.http = {
            name: httpx.Client(
                base_url=f"{stack.api_url}/v1/schemes/yanqing",
                headers={"Authorization": f"Bearer {tokens(name)}", "Riskpool-Time": AT},
                timeout=30,
            )
            for name in ("drc", "custodian", "bank-a")
        }

    def income(self, number: int) -> str:
        body = {"amount": "0.01", "period": "2026Q1", "bank_ref": f"I-{number}"}
        answer = self.http["custodian"].post("/partner-events/IncomeCredited", json=body)
        return str(answer.json().get("outcome", answer.text))

    def repay(self) -> str:
        body = {"loan_no": "A-1", "principal": "1.00", "repaid_on": "2026-02-02"}
        return str(self.http["bank-a"].post("/partner-events/LoanRepaid", json=body).json()["outcome"])

    def shown(self) -> dict[str, Any]:
        paths = ("/pool", "/loans/A-1", "/institutions", "/documents")
        return {path: self.http["drc"].get(path).json() for path in paths}


def test_what_was_backed_up_under_load_is_restored_proved_and_gone_on_from(start: Start, tmp_path: Path) -> None:
    stack = start("original", "--free-ports", "--clock", "message").until_ready()
    story = tmp_path / "story.yaml"
    story.write_text(STORY)
    names = {"drc", "finance", "scitech", "bank-a", "bank-b", "custodian"}
    tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", names))
    outcome = asyncio.run(run_scenario(story, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens))
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    fund = Fund(stack)
    document = fund.http["drc"].post(
        "/documents", files={"file": ("note.pdf", b"%PDF-1.4\n%%EOF\n", "application/pdf")}, data={"kind": "other"}
    )
    done, ended = [], threading.Event()

    def load() -> None:
        while not ended.is_set():
            done.append(fund.income(len(done)))

    working = threading.Thread(target=load)
    working.start()
    try:
        made = riskpool("backup", tmp_path / "fund.backup", data=stack.data)
    finally:
        ended.set()
        working.join()
    assert made.returncode == 0, made.stderr
    assert "writers waited" in made.stdout and len(done) > 3 and set(done) == {"accepted"}
    stack.stop()

    restored = riskpool("restore", tmp_path / "fund.backup", data=stack.data.with_name("restored"))
    assert restored.returncode == 0, restored.stderr
    assert "the books are proved" in restored.stdout

    back = Fund(start("restored", "--free-ports", "--clock", "message").until_ready())
    shown = back.shown()
    known = round(float(shown["/pool"]["income_total"]) * 100)
    assert 0 < known <= len(done)
    assert shown["/loans/A-1"]["status"] == "covered" and len(shown["/institutions"]["items"]) == 3
    if document.status_code < 300:
        sha256 = document.json()["sha256"]
        assert sha256 in json.dumps(shown["/documents"])
    again = [back.income(number) for number in range(len(done))]
    assert again == ["duplicate"] * known + ["accepted"] * (len(done) - known)
    assert back.repay() == "accepted"


def test_a_backup_needs_a_running_stack(tmp_path: Path) -> None:
    refused = riskpool("backup", tmp_path / "x.backup", data=tmp_path / "nothing")
    assert refused.returncode == 1 and "No stack is running" in refused.stderr and not (tmp_path / "x.backup").exists()
