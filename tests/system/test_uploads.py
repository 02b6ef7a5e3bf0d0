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
            for name in ("drc", "bank-a", "bank-b")
        }

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
    names = {"drc", "finance", "scitech", "bank-a", "bank-b", "custodian"}
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
    assert bank.rows(bank.reported(table)) == bank.rows(first)
    assert bank.outstanding() == "1999800.00"


def test_what_was_rejected_is_downloaded_with_advice_corrected_and_uploaded_again(bank: Bank) -> None:
    before = bank.outstanding()
    upload = bank.reported(HEADS + "A-1,5.00,2026-02-01\nA-1,x,2026-02-01\n=1+1,1.00,2026-02-01\n")
    errors = bank.http["bank-a"].get(f"/partner-files/{upload['id']}/errors")
    lines = list(csv.reader(io.StringIO(errors.content.decode("utf-8-sig"))))
    assert lines[0] == ["loan_no", "principal", "repaid_on", "# line", "# rule", "# advice"]
    assert [line[3] for line in lines[1:]] == ["3", "4"] and all(line[4] and line[5] for line in lines[1:])
    assert lines[2][0] == "'=1+1"
    corrected = "\n".join(",".join(["A-1", "7.00", "2026-02-01"]) for _ in lines[1:])
    assert bank.rows(bank.reported(HEADS + corrected)) == [(2, "accepted"), (3, "accepted")]
    eventually(lambda: float(before) - float(bank.outstanding()) == 5 + 14)


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
    eventually(lambda: round((before - float(bank.outstanding())) * 100) == cents, 20)
    gateway = psutil.Process(bank.stack.pid("gateway"))
    assert gateway.memory_info().rss < 400 * 2**20
