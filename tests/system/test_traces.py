"""A loan's way through all five services, as its spans tell it; and nothing at all where nobody asked for traces."""

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import run_scenario
from tests.system.conftest import RunningStack, Start

SCENARIOS = Path(__file__).parents[2] / "riskpool" / "scenarios"
STORY = """
scheme: yanqing
use: {lending}
custodian: auto
steps:
  - {{on: 2026-01-05, play: open-fund}}
  - {{on: 2026-01-12, play: lend, with: {{uscc: "${{uscc:1}}", loan_no: L-1, principal: "2000000.00"}}}}
  - {{on: 2026-03-02, by: bank-a, do: LoanDefaulted, with: {{loan_no: L-1, outstanding_principal: "2000000.00"}}}}
  - {{on: 2026-07-01, play: pay-batch, with: {{half: 2026H1, claims: [{{loan_no: L-1}}]}}}}
  - {{expect: /loans/L-1, match: {{status: compensated}}}}
"""
SPEAKERS = {"drc", "finance", "government", "scitech", "bank-a", "bank-b", "custodian"}
Span = dict[str, Any]


class Traced:
    """What a stack traced while a loan was lent, defaulted and compensated."""

    def __init__(self, stack: RunningStack, file: Path, uscc: str) -> None:
        self.stack, self.uscc = stack, uscc
        self.spans = self._read(file)
        self.by_id = {span["context"]["span_id"]: span for span in self.spans}

    def _read(self, file: Path) -> list[Span]:
        """All spans, once no more come."""
        lines = -1
        while len(found := file.read_text().splitlines()) != lines:
            lines = len(found)
            time.sleep(2)
        return [json.loads(line) for line in found]

    def parent(self, span: Span) -> Span | None:
        return None if span["parent_id"] is None else self.by_id[span["parent_id"]]

    def of_the_loan(self) -> list[Span]:
        """The spans that carry the case's id."""
        return [span for span in self.spans if span["attributes"].get(CASE) == self.uscc]

    def chain(self, span: Span) -> list[str]:
        """From the first cause to this span: service and name of each."""
        above = self.parent(span)
        return [*(self.chain(above) if above else []), f"{_service(span)}: {span['name']}"]

    def one(self, service: str, name: str) -> Span:
        [found] = [span for span in self.of_the_loan() if (_service(span), span["name"]) == (service, name)]
        return found


CASE = "messaging.message.conversation_id"


def _service(span: Span) -> str:
    return str(span["resource"]["attributes"]["service.name"])


@pytest.fixture(scope="module")
def traced(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    directory = tmp_path_factory.mktemp("traces")
    file, story = directory / "spans.jsonl", directory / "story.yaml"
    story.write_text(STORY.format(lending=SCENARIOS / "parts" / "lending.yaml"))
    environment = {"RISKPOOL_TRACES": str(file)}
    stack = start_for_module("traced", "--free-ports", "--clock", "message", env=environment).until_ready()
    tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", SPEAKERS))
    outcome = asyncio.run(run_scenario(story, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens))
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    headers = {"Authorization": f"Bearer {tokens('drc')}"}
    loan = httpx.get(f"{stack.api_url}/v1/schemes/yanqing/loans/L-1", headers=headers).json()
    yield Traced(stack, file, loan["uscc"])


def test_every_hop_of_the_loan_has_its_parent_in_the_file(traced: Traced) -> None:
    spans = traced.of_the_loan()
    assert {_service(span) for span in spans} == {"referral", "review", "pool", "recovery", "gateway"}
    for span in spans:
        above = traced.parent(span)  # a KeyError where a parent was never exported
        verb = span["name"].split()[0]
        if above is None:
            assert verb in ("ask", "take"), span  # a command at the gateway, or what a partner sent by itself
            assert verb == "ask" or span["attributes"]["messaging.destination.name"].startswith("partners."), span
        else:
            assert above["context"]["trace_id"] == span["context"]["trace_id"]
            assert {"decide": "ask", "take": "publish"}.get(verb) == above["name"].split()[0] or (
                verb == "publish" and above["name"].split()[0] in ("decide", "take")
            )
            assert span["start_time"] >= above["start_time"]


def test_the_way_of_the_money_is_told_from_its_cause(traced: Traced) -> None:
    assert traced.chain(traced.one("recovery", "take CompensationSettled")) == [
        "pool: take TransferSettled",
        "pool: publish CompensationSettled",
        "recovery: take CompensationSettled",
    ]
    assert traced.chain(traced.one("gateway", "take CompensationInstructed")) == [
        "gateway: ask IssuePayoutNotice",
        "pool: decide IssuePayoutNotice",
        "pool: publish CompensationInstructed",
        "gateway: take CompensationInstructed",
    ]
    assert traced.chain(traced.one("review", "take EnterpriseAdmitted")) == [
        "gateway: ask ScreenReferral",
        "referral: decide ScreenReferral",
        "referral: publish EnterpriseAdmitted",
        "review: take EnterpriseAdmitted",
    ]
    receipts = [one for one in traced.spans if one["name"] == "take receipt"]
    told = {tuple(traced.chain(one)) for one in receipts}
    assert ("review: take LoanDefaulted", "review: publish LoanDefaulted", "gateway: take receipt") in told


def test_every_event_of_the_loan_is_published_once_and_taken_by_the_gateway_once(traced: Traced) -> None:
    events = Counter(
        span["attributes"]["messaging.message.id"]
        for span in traced.of_the_loan()
        if span["name"].split()[0] == "publish"
    )
    taken = Counter(
        span["attributes"]["messaging.message.id"]
        for span in traced.of_the_loan()
        if (_service(span), span["name"].split()[0]) == ("gateway", "take")
    )
    assert len(events) > 15 and set(events.values()) == {1} and taken == events


def test_a_log_line_names_the_command_its_case_and_its_trace(traced: Traced) -> None:
    lines = (traced.stack.data / "logs" / "referral.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    [answered] = [one for one in told if one["message"] == "answered" and one["command"] == "ScreenReferral"]
    span = traced.one("referral", "decide ScreenReferral")
    assert answered["correlation_id"] == traced.uscc
    assert answered["trace_id"] == span["context"]["trace_id"].removeprefix("0x")
    assert answered["id"] == span["attributes"]["messaging.message.id"]


def test_without_the_setting_nothing_of_the_library_is_loaded() -> None:
    program = (
        "import os, sys; os.environ['RISKPOOL_CLOCK'] = 'server'; import services.pool.app; "
        "from shared.observability import traces; assert not traces.on(); "
        "assert not traces.begin('x', 'server').traceparent; "
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_books_of_what_was_traced_are_proven(traced: Traced) -> None:
    command = [sys.executable, "-m", "riskpool", "audit", "--data", str(traced.stack.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_spans_reach_an_otlp_endpoint() -> None:
    heard: list[tuple[str, bytes]] = []

    class Hear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hear)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    program = (
        "from shared.observability import traces; traces.start('pool'); "
        "span = traces.begin('decide InjectCapital', 'server'); span.end(); print(span.traceparent)"
    )
    address = f"http://127.0.0.1:{server.server_port}/v1/traces"
    environment = {**os.environ, "RISKPOOL_TRACES": address, "no_proxy": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    server.shutdown()
    assert done.returncode == 0, done.stderr
    [(path, body)] = heard
    sent = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    [span] = sent.resource_spans[0].scope_spans[0].spans
    assert (path, span.name) == ("/v1/traces", "decide InjectCapital")
    assert span.trace_id.hex() == done.stdout.split("-")[1]
