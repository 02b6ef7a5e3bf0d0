"""A stack with a story on it, the bus's exporter beside it, and Prometheus where a test asks for it."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
import yaml

from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import run_scenario
from tests.conftest import eventually, free_port
from tests.system.conftest import RunningStack, _further_stacks

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "riskpool" / "scenarios"
STORY = """
scheme: yanqing
use: {lending}
custodian: auto
steps:
  - {{on: 2026-01-05, play: open-fund, with: {{banks: [bank-a, bank-b]}}}}
  - {{on: 2026-01-12, play: lend, with: {{uscc: "${{uscc:1}}", loan_no: L-1, principal: "2000000.00"}}}}
  - {{on: 2026-01-12, play: lend, with: {{uscc: "${{uscc:2}}", loan_no: L-2, principal: "1000000.00"}}}}
  - {{on: 2026-03-02, by: bank-a, do: LoanDefaulted, with: {{loan_no: L-1, outstanding_principal: "2000000.00"}}}}
  - {{on: 2026-07-01, play: pay-batch, with: {{half: 2026H1, claims: [{{loan_no: L-1}}]}}}}
  - {{on: 2026-07-02, by: bank-b, do: LoanRepaid, with: {{loan_no: L-2, principal: "1.00"}}, refused: permission}}
  - {{on: 2026-07-03, by: custodian, do: StatementIssued, with: {{as_of: 2026-07-02, balance: "28800000.00"}}}}
"""
SPEAKERS = {"drc", "finance", "government", "scitech", "bank-a", "bank-b", "bank-c", "custodian", "operator"}


def binary(*names: str) -> str:
    """A program of the machine; without it the test is skipped, or fails in CI."""
    for name in names:
        if found := shutil.which(name):
            return found
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{names[0]} is not on this machine")


class Program:
    """A process of the tests, ended by its own id."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
            )

    def until_answers(self, url: str, seconds: float = 30, **headers: str) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(url, headers=headers, timeout=5).status_code == 200
            return False

        eventually(answers, seconds)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class House:
    """A stack that a story was played on, and the exporter of its bus."""

    def __init__(self, stack: RunningStack, scheme: str = "yanqing") -> None:
        self.stack, self.scheme = stack, scheme
        self.tokens = asyncio.run(make_tokens(stack.database_url("gateway"), scheme, SPEAKERS))
        self.token_file = Path(stack.description["metrics_token"])
        self.headers = {"Authorization": f"Bearer {self.token_file.read_text()}"}
        port = free_port()
        self.exporter_address = f"127.0.0.1:{port}"
        command = [sys.executable, "-m", "riskpool", "exporter", "--port", str(port), "--data", str(stack.data)]
        self.exporter = Program(command, stack.data.parent / "exporter.log")
        self.exporter.until_answers(f"http://{self.exporter_address}/metrics", **self.headers)

    def play(self, story: Path) -> None:
        stack = self.stack
        outcome = asyncio.run(run_scenario(story, api_url=stack.api_url, nats_url=stack.nats_url, tokens=self.tokens))
        assert outcome.ok, "\n".join(map(str, outcome.failed))

    def on_the_bus(self, work: Callable[[Any], Any]) -> Any:
        """What ``work`` gives back for a JetStream client with the operator's credentials."""

        async def run() -> Any:
            credentials = self.stack.description["nats_credentials"]
            async with await nats.connect(self.stack.nats_url, user_credentials=credentials) as client:
                return await work(client.jetstream())

        return asyncio.run(run())

    def http(self, organisation: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens(organisation)}"}
        return httpx.Client(base_url=f"{self.stack.api_url}/v1/schemes/{self.scheme}", headers=headers, timeout=60)


def configuration(house: House, directory: Path, alertmanager: str = "", rules: str = "") -> Path:
    """The shipped configuration of Prometheus, only faster, and at the addresses of a house."""
    told = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())
    told["global"] = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
    told["rule_files"] = [rules] if rules else []
    told["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager] if alertmanager else []}]
    for job in told["scrape_configs"]:
        job["authorization"]["credentials_file"] = str(house.token_file)
        names = [name for lookup in job.pop("dns_sd_configs", ()) for name in lookup["names"]]
        addresses = {name: house.stack.description["services"][name].removeprefix("http://") for name in names}
        job["static_configs"] = [
            {"targets": [address], "labels": {"__meta_dns_name": name}} for name, address in addresses.items()
        ] or [{"targets": [house.exporter_address]}]
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(told))
    return file


class Prometheus(Program):
    """A Prometheus that scrapes a house by the shipped configuration, only faster and at the house's addresses."""

    def __init__(self, directory: Path, configuration: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            binary("prometheus"), f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn",
        ]  # fmt: skip
        super().__init__(command, directory / "prometheus.log")
        self.until_answers(f"{self.url}/-/ready")

    def ask(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def value(self, query: str) -> list[dict[str, Any]]:
        return list(self.ask("query", query=query)["result"])

    def until_scraped(self, jobs: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while len(self.value("up == 1")) < jobs:
            assert time.monotonic() < deadline, self.ask("targets")
            time.sleep(0.3)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    story = tmp_path_factory.mktemp("story") / "story.yaml"
    story.write_text(STORY.format(lending=SCENARIOS / "parts" / "lending.yaml"))
    with _further_stacks() as start:
        made = House(start("monitored", "--free-ports", "--clock", "message").until_ready())
        try:
            made.play(story)
            yield made
        finally:
            made.exporter.stop()
