"""A history imported under a running stack: partners and pages see it, and the fund goes on from where it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from riskpool.history.columns import template
from riskpool.scenario.embedded import make_tokens

pytestmark = pytest.mark.slow
SECONDS = 30


def riskpool(*words: object) -> str:
    command = [sys.executable, "-m", "riskpool", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


async def test_what_was_imported_is_shown_audited_and_gone_on_from(start: Callable[..., Any], tmp_path: Path) -> None:
    stack = start("data", "--free-ports", "--clock", "message").until_ready()
    file = tmp_path / "history.csv"
    file.write_text(template())
    assert "20 events are written" in riskpool("import-history", file, "--data", stack.data)
    tokens = await make_tokens(stack.database_url("gateway"), "yanqing", {"drc", "finance"})
    fund = f"{stack.api_url}/v1/schemes/yanqing"

    async def balance(expected: str) -> None:
        deadline, said = time.monotonic() + SECONDS, ""
        while said != expected:
            assert time.monotonic() < deadline, f"the balance is {said!r}, not {expected!r}"
            answer = await http.get(f"{fund}/pool", headers={"Authorization": f"Bearer {tokens('drc')}"})
            said = answer.json().get("balance", "") if answer.status_code == 200 else ""

    async with httpx.AsyncClient(trust_env=False) as http:
        await balance("14468001.00")
        headers = {"Authorization": f"Bearer {tokens('finance')}", "Idempotency-Key": "more"}
        more = {"source": "inclusive_award", "amount": "1000000.00", "bank_ref": "C-2"}
        answer = await http.post(f"{fund}/commands/InjectCapital", json=more, headers=headers)
        assert answer.status_code == 200, answer.text
        await balance("15468001.00")
    riskpool("audit", "--data", stack.data)
    assert "agree to the fen" in riskpool("books", "--data", stack.data, "--by", "department")
    assert "nothing was done" in riskpool("import-history", file, "--data", stack.data)
