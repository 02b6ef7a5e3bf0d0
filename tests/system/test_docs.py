"""What README and the partners' page tell a reader to type works as printed, on a stack that really runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import run_scenario
from tests.system.conftest import RunningStack

ROOT = Path(__file__).parents[2]
LENDING = ROOT / "riskpool" / "scenarios" / "parts" / "lending.yaml"
SHELL_PAGES = (
    "README.md", "README.zh-CN.md", "docs/sign-in.md", "docs/projections.md", "docs/reports.md", "docs/audit.md",
    "docs/books.md", "docs/backup.md", "docs/parked.md",
)  # fmt: skip
PRINTED = {"http://127.0.0.1:8080": "api_url", "nats://127.0.0.1:4222": "nats_url"}
# What `make run` has ready: the examples report repayments of this loan.
STORY = """
scheme: yanqing
use: {lending}
steps:
  - {{on: 2026-01-05, play: open-fund}}
  - {{on: 2026-01-12, play: lend, with: {{uscc: "${{uscc:71}}", loan_no: A-0002, principal: "2000000.00"}}}}
"""


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page; `make` starts a stack or runs these very tests, so its lines are left out."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    scripts = ["\n".join(line for line in block.splitlines() if not line.startswith("make")) for block in found]
    return [script for script in scripts if script.strip()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: a directory in which `riskpool` is a command."""
    place = tmp_path_factory.mktemp("reader")
    command = place / "riskpool"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m riskpool "$@"\n')
    command.chmod(0o755)
    return place


@pytest.fixture
async def lent(stack: RunningStack, tmp_path: Path) -> RunningStack:
    """The stack with a loan of bank-a that still runs; nothing is done when it is there."""
    tokens = await make_tokens(stack.database_url("gateway"), "yanqing", {"drc", "finance", "scitech", "bank-a"})
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {tokens('drc')}"}) as http:
        if (await http.get(f"{stack.api_url}/v1/schemes/yanqing/loans/A-0002")).status_code == 200:
            return stack
    story = tmp_path / "story.yaml"
    story.write_text(STORY.format(lending=LENDING))
    outcome = await run_scenario(story, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens)
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    return stack


def run(stack: RunningStack, place: Path, *command: str, seconds: float = 120) -> str:
    """What a command prints, with the addresses that the pages print leading to this stack."""
    (place / ".riskpool").unlink(missing_ok=True)
    (place / ".riskpool").symlink_to(stack.data)
    words = list(command)
    for printed, actual in PRINTED.items():
        words = [word.replace(printed, str(stack.description[actual])) for word in words]
    environment = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        words, cwd=place, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


async def test_the_partners_python_program_gets_its_receipt(lent: RunningStack, reader: Path) -> None:
    credentials, certify, *_ = blocks("docs/partners.md", "sh")
    assert "core banking" in run(lent, reader, "bash", "-euo", "pipefail", "-c", credentials)
    here = certify.replace(" --", f" --url {lent.nats_url} --", 1)
    passed = run(lent, reader, "bash", "-euo", "pipefail", "-c", here)
    assert "FAILED" not in passed
    [program] = blocks("docs/partners.md", "python")
    assert run(lent, reader, sys.executable, "-c", program).split() == ["accepted"]


async def test_the_partners_javascript_program_gets_its_receipt(
    lent: RunningStack, reader: Path, node_packages: Path
) -> None:
    credentials, *_ = blocks("docs/partners.md", "sh")
    run(lent, reader, "bash", "-euo", "pipefail", "-c", credentials)
    [program] = blocks("docs/partners.md", "javascript")
    (reader / "partner.mjs").write_text(program.replace("nats://127.0.0.1:4222", lent.nats_url))
    (reader / "node_modules").symlink_to(node_packages / "node_modules")
    assert run(lent, reader, "node", "partner.mjs").split() == ["accepted"]


async def test_the_partners_curl_commands_get_their_receipt_and_read_it_again(lent: RunningStack, reader: Path) -> None:
    *_, script, _ = blocks("docs/partners.md", "sh")
    printed = run(lent, reader, "bash", "-euo", "pipefail", "-c", script)
    assert printed.count('"outcome":"accepted"') == 2


async def test_the_partners_table_is_taken(lent: RunningStack, reader: Path) -> None:
    *_, script = blocks("docs/partners.md", "sh")
    assert '"rows":1' in run(lent, reader, "bash", "-euo", "pipefail", "-c", script)


async def test_the_auditors_ten_lines_check_a_chain(lent: RunningStack, reader: Path) -> None:
    run(lent, reader, "riskpool", "audit", "export", "books.zip")
    [program] = blocks("docs/audit.md", "python")
    assert "events are as they were recorded" in run(lent, reader, sys.executable, "-c", program)


@pytest.mark.parametrize("page", SHELL_PAGES)
async def test_every_shell_block_of_a_page_runs(lent: RunningStack, reader: Path, page: str) -> None:
    for script in blocks(page, "sh"):
        run(lent, reader, "bash", "-euo", "pipefail", "-c", script)
