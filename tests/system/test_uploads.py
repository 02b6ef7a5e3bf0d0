"""Partner events as a table: every row gets what an event gets, whatever the file, and a killed gateway goes on."""

import asyncio
import csv
import datetime
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.partners.client import PartnerClient, event_bytes
from riskpool.scenario.embedded import make_tokens
from riskpool.scenario.runner import run_scenario
from tests.conftest import eventually
from tests.system.conftest import RunningStack, Start

LENDING = Path(__file__).parents[2] / "riskpool" / "scenarios" / "parts" / "lending.yaml"
STORY = f"""
scheme: yanqing
use: {LENDING}
steps:
  - {{on: 2026-01-05, play: open-fund}}
  - {{on: 2026-01-12, play: lend, with: {{uscc: "${{uscc:71}}", loan_no: A-1, principal: "2000000.00"}}}}
"""
HEADS = "loan_no,principal,repaid_on\n"


class Bank:
    """A stack with a loan of bank-a, and its API as banks see it."""

    def __init__(self, stack: RunningStack, tokens: Any) -> None:
        self.stack = stack
        self.http = {
            name: httpx.Client(
                base_url=f"{stack.api_url}/v1/schemes/yanqing",
                headers={"Authorization": f"Bearer {tokens(name)}", "Riskpool-Time": "2026-02-02"},
                timeout=60,
            )
            for name in ("drc", "bank-a", "bank-b", "custodian", "operator")
        }

    async def over_the_bus(
        self, event_id: str, data: Any, by: str = "bank-a", event: str = "LoanRepaid", seconds: float = 15
    ) -> dict[str, Any]:
        """Publish an event as a partner does on the bus; its receipt, or nothing when it is not waited for."""
        issued = self.http["drc"].post(f"/institutions/{by}/bus-credentials", json={}).raise_for_status().json()
        client = await PartnerClient.connect(self.stack.nats_url, lambda: str(issued["credentials"]))
        try:
            told = event_bytes("yanqing", by, event, data, "2026-02-02T09:00:00+08:00", event_id)
            await client.publish("yanqing", event, told)
            return (await client.receipt(event_id, seconds) or {}) if seconds else {}
        finally:
            await client.close()

    def over_http(
        self, event_id: str, data: Any, by: str = "bank-a", event: str = "LoanRepaid"
    ) -> httpx.Response:
        headers = {"Idempotency-Key": event_id}
        return self.http[by].post(f"/partner-events/{event}", json=data, headers=headers)

    def upload(self, content: bytes | str, name: str = "table.csv", event: str = "LoanRepaid") -> httpx.Response:
        body = content.encode() if isinstance(content, str) else content
        return self.http["bank-a"].post(f"/partner-files/{event}", files={"file": (name, body)})

    def reported(self, content: bytes | str, name: str = "table.csv") -> dict[str, Any]:
        taken = self.upload(content, name)
        assert taken.status_code == 202, taken.text
        return self.done(taken.json()["id"])

    def done(self, identifier: str, seconds: float = 60) -> dict[str, Any]:
        eventually(lambda: self.get(f"/partner-files/{identifier}")["state"] == "done", seconds)
        return self.get(f"/partner-files/{identifier}")

    def get(self, path: str, who: str = "bank-a") -> dict[str, Any]:
        answer = self.http[who].get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def rows(self, upload: dict[str, Any]) -> list[tuple[int, str]]:
        found = self.get(f"/partner-files/{upload['id']}/rows?limit=500")["items"]
        return [(row["line"], row["outcome"]) for row in found]

    def outstanding(self) -> str:
        return str(self.get("/loans/A-1", "drc")["outstanding"])


@pytest.fixture(scope="module")
def bank(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    stack = start_for_module("uploads", "--free-ports", "--clock", "message").until_ready()
    story = tmp_path_factory.mktemp("story") / "story.yaml"
    story.write_text(STORY)
    names = {"drc", "finance", "scitech", "bank-a", "bank-b", "custodian", "operator"}
    tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", names))
    outcome = asyncio.run(run_scenario(story, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens))
    assert outcome.ok, "\n".join(map(str, outcome.failed))
    yield Bank(stack, tokens)


def test_every_row_is_decided_and_the_same_file_again_books_nothing(bank: Bank) -> None:
    table = HEADS + "A-1,100.00,2026-02-01\nA-1,100,2026/02/01\nNOBODY,1.00,2026-02-01\nA-1,much,2026-02-01\n"
    first = bank.reported(table)
    assert bank.rows(first) == [(2, "accepted"), (3, "accepted"), (4, "refused"), (5, "unreadable")]
    assert (first["accepted"], first["refused"], first["unreadable"], first["rows"]) == (2, 1, 1, 4)
    eventually(lambda: bank.outstanding() == "1999800.00")
    again = bank.reported(table)
    assert bank.rows(again) == [(2, "duplicate"), (3, "duplicate"), (4, "refused"), (5, "unreadable")]
    assert (again["accepted"], again["duplicate"]) == (0, 2)
    assert bank.outstanding() == "1999800.00"


def test_what_was_rejected_is_downloaded_with_advice_corrected_and_uploaded_again(bank: Bank) -> None:
    before = bank.outstanding()
    upload = bank.reported(HEADS + "A-1,5.00,2026-02-01\nA-1,x,2026-02-01\n=1+1,1.00,2026-02-01\n")
    errors = bank.http["bank-a"].get(f"/partner-files/{upload['id']}/errors")
    lines = list(csv.reader(io.StringIO(errors.content.decode("utf-8-sig"))))
    assert lines[0] == ["loan_no", "principal", "repaid_on", "# line", "# rule", "# advice"]
    assert [line[3] for line in lines[1:]] == ["3", "4"] and all(line[4] and line[5] for line in lines[1:])
    assert lines[2][0] == "'=1+1"
    corrected = errors.content.decode().replace(",x,", ",7.00,").replace("'=1+1", "A-1")
    assert bank.rows(bank.reported(corrected)) == [(2, "accepted"), (3, "accepted")]
    eventually(lambda: float(before) - float(bank.outstanding()) == 5 + 7 + 1)


def test_rejected_rows_of_an_excel_file_come_back_as_text_and_are_uploaded_again(bank: Bank) -> None:
    book = openpyxl.Workbook()
    for row in (HEADS.strip().split(","), ["A-1", "wrong", "2026-02-01"], ["-1+1", "1.00", "2026-02-01"]):
        book.worksheets[0].append(row)
    content = io.BytesIO()
    book.save(content)
    upload = bank.reported(content.getvalue(), "a.xlsx")
    errors = bank.http["bank-a"].get(f"/partner-files/{upload['id']}/errors")
    returned = openpyxl.load_workbook(io.BytesIO(errors.content))
    sheet = returned.worksheets[0]
    assert (sheet["A3"].value, sheet["A3"].data_type) == ("-1+1", "s")
    sheet["B2"], sheet["A3"] = 8, "A-1"
    content = io.BytesIO()
    returned.save(content)
    assert bank.rows(bank.reported(content.getvalue(), "b.xlsx")) == [(2, "accepted"), (3, "duplicate")]


def test_an_excel_file_with_chinese_headings_dates_and_numbers_is_taken(bank: Bank) -> None:
    template = bank.http["bank-a"].get("/partner-file-templates/LoanRepaid", params={"format": "xlsx"})
    book = openpyxl.load_workbook(io.BytesIO(template.content))
    sheet = book.worksheets[0]
    names = [cell.value for cell in sheet[1]]
    chinese = [str(cell.value).removeprefix("# ") for cell in sheet[2]]
    for place, heading in enumerate(chinese, 1):
        sheet.cell(1, place, heading)
    values = {"id": "excel-1", "loan_no": "A-1", "principal": 12.5, "repaid_on": datetime.date(2026, 2, 1)}
    sheet.append([values.get(name) for name in names])
    content = io.BytesIO()
    book.save(content)
    upload = bank.reported(content.getvalue(), "还款.xlsx")
    assert [outcome for _, outcome in bank.rows(upload)] == ["accepted"]
    assert bank.get("/receipts/excel-1")["outcome"] == "accepted"


BAD: dict[str, tuple[str, bytes, str]] = {
    "an unknown heading": ("a.csv", b"loan_no,principal,repaid_on,colour\nA,1,2,3\n", "colour"),
    "a missing heading": ("a.csv", b"loan_no,principal\nA-1,1.00\n", "repaid_on"),
    "no rows": ("a.csv", HEADS.encode(), "0"),
    "nothing at all": ("a.csv", b"", ""),
    "another kind of file": ("a.pdf", b"%PDF-1.4", "csv"),
    "no Excel file": ("a.xlsx", b"loan_no,principal\n", "xlsx"),
    "a NUL": ("a.csv", HEADS.encode() + b"A-1,\0,2026-02-01\n", ""),
    "bytes that are no text": ("a.csv", b"\xff\xfe\x00\x81\xff" * 20, ""),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_is_no_table_of_the_event_is_refused_with_what_to_do(bank: Bank, what: str) -> None:
    name, content, told = BAD[what]
    refused = bank.upload(content, name)
    assert (refused.status_code, refused.json()["rule"]) == (422, "upload"), refused.text
    assert told in refused.json()["detail"]


def test_a_zip_bomb_is_not_unpacked(bank: Bank) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("[Content_Types].xml", "<Types/>")
        bomb.writestr("xl/workbook.xml", b"0" * 300_000_000)
    assert bank.upload(content.getvalue(), "bomb.xlsx").status_code == 422


def test_a_path_in_the_name_stays_a_name(bank: Bank) -> None:
    upload = bank.reported(HEADS + "A-1,1.00,2026-02-01\n", "../../etc/passwd.csv")
    assert "/" not in upload["name"]


def test_nobody_sees_anothers_upload_and_agencies_upload_nothing(bank: Bank) -> None:
    upload = bank.reported(HEADS + "A-1,2.00,2026-02-01\n")
    for path in ("", "/rows", "/errors"):
        assert bank.http["bank-b"].get(f"/partner-files/{upload['id']}{path}").status_code == 404
        assert bank.http["drc"].get(f"/partner-files/{upload['id']}{path}").status_code == 403
    assert upload["id"] not in str(bank.get("/partner-files", "bank-b"))
    files = {"file": ("a.csv", HEADS.encode() + b"A-1,1.00,2026-02-01\n")}
    assert bank.http["drc"].post("/partner-files/LoanRepaid", files=files).status_code == 403
    assert bank.http["bank-a"].post("/partner-files/IncomeCredited", files=files).status_code == 403
    assert bank.http["bank-a"].post("/partner-files/Nothing", files=files).status_code == 404


def test_an_id_that_was_used_for_something_else_is_refused(bank: Bank) -> None:
    heads = "id,loan_no,principal,repaid_on\n"
    assert bank.rows(bank.reported(heads + "mine-1,A-1,3.00,2026-02-01\n")) == [(2, "accepted")]
    again = bank.reported(heads + "mine-1,A-1,4.00,2026-02-01\n")
    rows = bank.get(f"/partner-files/{again['id']}/rows")["items"]
    assert [(row["outcome"], row["rule"]) for row in rows] == [("refused", "idempotency.mismatch")]


def test_an_id_twice_in_a_file_is_booked_once(bank: Bank) -> None:
    before = float(bank.outstanding())
    lines = ["mine-2,A-1,3.00,2026-02-01"] * 2 + ["mine-2,A-1,9.00,2026-02-01"]
    upload = bank.reported("id,loan_no,principal,repaid_on\n" + "\n".join(lines))
    assert bank.rows(upload) == [(2, "accepted"), (3, "duplicate"), (4, "refused")]
    eventually(lambda: before - float(bank.outstanding()) == 3)


def test_what_was_reported_over_http_is_a_duplicate_in_a_file(bank: Bank) -> None:
    data = {"loan_no": "A-1", "principal": "6.00", "repaid_on": "2026-02-01"}
    sent = bank.http["bank-a"].post("/partner-events/LoanRepaid", json=data, headers={"Idempotency-Key": "http-1"})
    assert sent.json()["outcome"] == "accepted", sent.text
    upload = bank.reported("id,loan_no,principal,repaid_on\nhttp-1,A-1,6.00,2026-02-01\n")
    assert bank.rows(upload) == [(2, "duplicate")]


def test_an_id_that_came_over_the_bus_with_other_data_is_a_mismatch_at_every_door(bank: Bank) -> None:
    before, reported = float(bank.outstanding()), {"loan_no": "A-1", "principal": "8.00", "repaid_on": "2026-02-01"}
    assert asyncio.run(bank.over_the_bus("bus-1", reported))["outcome"] == "accepted"
    eventually(lambda: before - float(bank.outstanding()) == 8)
    eventually(lambda: bank.http["bank-a"].get("/receipts/bus-1").status_code == 200)
    other = bank.over_http("bus-1", {**reported, "principal": "9.00"})
    assert (other.status_code, other.json()["rule"]) == (409, "idempotency.mismatch"), other.text
    same = bank.over_http("bus-1", reported)
    assert (same.status_code, same.json()["outcome"]) == (200, "accepted"), same.text
    upload = bank.reported("id,loan_no,principal,repaid_on\nbus-1,A-1,9.00,2026-02-01\nbus-1,A-1,8.00,2026-02-01\n")
    assert bank.rows(upload) == [(2, "refused"), (3, "refused")]
    errors = bank.http["bank-a"].get(f"/partner-files/{upload['id']}/errors").content.decode("utf-8-sig")
    told = next(csv.DictReader(io.StringIO(errors)))
    assert told["# rule"] == "idempotency.mismatch" and "新的键" in told["# advice"]
    upload = bank.reported("id,loan_no,principal,repaid_on\nbus-1,A-1,8.00,2026-02-01\n")
    assert bank.rows(upload) == [(2, "duplicate")]
    assert before - float(bank.outstanding()) == 8 and bank.get("/parked", "operator")["items"] == []


def test_two_contents_under_one_id_at_the_same_moment_have_one_receipt(bank: Bank) -> None:
    """The pool does not answer, so that HTTP cannot know what the bus holds; whoever asks again is told."""
    over_bus, over_http = ({"as_of": "2026-02-01", "balance": balance} for balance in ("1.00", "2.00"))
    held = psutil.Process(bank.stack.pid("pool"))
    held.suspend()
    try:
        asyncio.run(bank.over_the_bus("race", over_bus, "custodian", "StatementIssued", seconds=0))
        stored = bank.over_http("race", over_http, "custodian", "StatementIssued")
        assert stored.status_code == 202, stored.text
    finally:
        held.resume()
    eventually(lambda: bank.http["custodian"].get("/receipts/race").status_code == 200)
    assert bank.over_http("race", over_http, "custodian", "StatementIssued").json()["rule"] == "idempotency.mismatch"
    assert bank.over_http("race", over_bus, "custodian", "StatementIssued").json()["outcome"] == "accepted"


def test_nobody_waits_for_anothers_hindered_upload(bank: Bank) -> None:
    """The document of bank-a's upload is lost, so that it can never be read; bank-b's comes after it."""

    async def hinder(sql: str) -> None:
        engine = create_async_engine(bank.stack.database_url("gateway"))
        async with engine.begin() as connection:
            await connection.execute(text(sql))
        await engine.dispose()

    asyncio.run(
        hinder(
            "insert into uploads (id, scheme, institution, event, name, kind, sha256, headings, rows, moment, "
            "uploaded_at) values ('lost', 'yanqing', 'bank-a', 'LoanRepaid', 'a.csv', 'csv', repeat('0', 64), "
            "'[]', 1, '2026-02-02', '2026-02-02')"
        )
    )
    try:
        time.sleep(1)
        files = {"file": ("b.csv", HEADS + "A-1,1.00,2026-02-01\n")}
        taken = bank.http["bank-b"].post("/partner-files/LoanRepaid", files=files)
        eventually(lambda: bank.get(f"/partner-files/{taken.json()['id']}", "bank-b")["state"] == "done")
        assert bank.get("/partner-files/lost")["state"] == "waiting"
    finally:
        asyncio.run(hinder("delete from uploads where id = 'lost'"))


def test_a_large_file_is_gone_on_with_after_a_kill_in_bounded_memory(bank: Bank) -> None:
    before, number = float(bank.outstanding()), 1500
    table = HEADS + "".join(f"A-1,0.{n % 90 + 10:02d},2026-02-01\n" for n in range(number))
    taken = bank.upload(table)
    assert taken.status_code == 202, taken.text
    identifier = taken.json()["id"]
    eventually(lambda: bank.get(f"/partner-files/{identifier}")["accepted"] > 0, 60)
    bank.stack.kill("gateway")
    time.sleep(1)
    bank.stack.until_ready()

    def again() -> bool:
        try:
            return bool(bank.get(f"/partner-files/{identifier}")["state"] == "done")
        except (httpx.HTTPError, AssertionError):
            return False

    eventually(again, 150)
    upload = bank.get(f"/partner-files/{identifier}")
    assert upload["accepted"] == number
    cents = sum(n % 90 + 10 for n in range(number))
    eventually(lambda: round((before - float(bank.outstanding())) * 100) == cents)
    gateway = psutil.Process(bank.stack.pid("gateway"))
    assert gateway.memory_info().rss < 400 * 2**20
