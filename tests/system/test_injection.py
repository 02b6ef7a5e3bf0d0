"""SQL and spreadsheet formulas in every text of the contract: nothing fails, nothing is lost, no export runs them."""

import asyncio
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import openpyxl
import pytest
import xlsxwriter
import yaml
from sqlalchemy.ext.asyncio import create_async_engine

from riskpool.scenario.embedded import make_tokens, organisations_of
from riskpool.scenario.runner import run_scenario
from riskpool.scenario.story import load_story
from riskpool.scenario.text import read_yaml
from services.gateway.uploads.columns import columns_of
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS, SERVICES
from tests.conftest import eventually
from tests.gateway.console import PASSWORD, person
from tests.system.conftest import RunningStack, Start

SCENARIOS = Path(__file__).parents[2] / "riskpool" / "scenarios"
PAYLOADS = ("'; drop table events; --", "=cmd|'/c calc'!A1", "+1+1", "-1+1", "@SUM(1)", "\t=1+1")
# What people and institutions write as they like; other texts are codes of the scheme, and a rule refuses what is none.
FREE = {
    "name", "project", "purpose", "letter_no", "reason", "comment", "note", "document_no", "bank_ref", "notice_no",
    "ruling_no", "policy_no", "loan_no", "evidence", "text",
}  # fmt: skip
CODE = "recovery"  # of the purposes, that of funds that come in
AFTERWARDS = {"Riskpool-Time": "2027-02-01"}
REPORTS = (
    ("custodian_half_year", "2026H2", ""), ("custodian_annual", "2026", ""), ("compensation_request", "2026H1", ""),
    ("recovery_half_year", "2026H2", ""), ("department_quarter", "2026Q1", "scitech"),
    ("institution_statement", "2026", "bank-a"),
)  # fmt: skip
Place = tuple[str | int, ...]
Schema = dict[str, Any]


class Poisoned:
    """Values of free texts, each with a payload before it: the same value has always the same."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.turns = itertools.cycle(PAYLOADS)

    def of(self, value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self.of(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.of(one, field) for one in value]
        if field not in FREE or not isinstance(value, str) or value == CODE:
            return value
        if value not in self.known:
            self.known[value] = f"{next(self.turns)} {value}"
        return self.known[value]


def poisoned_year(directory: Path) -> Path:
    """The first year of the scheme, told by people who write payloads into every free text."""
    story = read_yaml((SCENARIOS / "first-year.yaml").read_text(), "first-year.yaml")
    poisoned = Poisoned()
    steps = [{**step, "with": poisoned.of(step["with"])} for step in story["steps"] if "do" in step]
    path = directory / "poisoned.yaml"
    path.write_text(yaml.safe_dump({**story, "steps": steps}, allow_unicode=True))
    return path


class House:
    """A stack with a poisoned year in it, valid examples of every message, and who sends each."""

    def __init__(self, stack: RunningStack, year: Path) -> None:
        self.stack = stack
        stories = [load_story(path) for path in (*sorted(SCENARIOS.glob("*.yaml")), year)]
        done = [step for story in stories for step in story.steps if step.do and not step.refused]
        self.examples = {step.do: (step.by, _plain(step.fields)) for step in done}
        self.examples["RecordFinding"] = ("drc", {"uscc": "91110119MA01ABC17J", "note": "n", "adverse": False})
        names = {"operator", "drc", *(by for by, _ in self.examples.values())}.union(*map(organisations_of, stories))
        tokens = asyncio.run(make_tokens(stack.database_url("gateway"), "yanqing", names))
        told = run_scenario(year, api_url=stack.api_url, nats_url=stack.nats_url, tokens=tokens)
        self.outcome = asyncio.run(told)
        self.http = {
            name: httpx.Client(
                base_url=f"{stack.api_url}/v1/schemes/yanqing", timeout=60,
                headers={"Authorization": f"Bearer {tokens(name)}", **AFTERWARDS},
            )
            for name in names
        }  # fmt: skip

    def send(self, name: str, data: Any) -> httpx.Response:
        by, _ = self.examples[name]
        door = "commands" if name in COMMANDS else "partner-events"
        return self.http[by].post(f"/{door}/{name}", json=data, headers={"Idempotency-Key": str(uuid4())})

    def tables(self) -> dict[str, int]:
        """How many rows each table of each database holds."""
        return asyncio.run(_counted({name: self.stack.database_url(name) for name in SERVICES}))


async def _counted(urls: dict[str, str]) -> dict[str, int]:
    """The rows of each table; an event of ours that was parked is one that a text made unreadable."""
    found = {}
    for service, url in urls.items():
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)
        query = "select table_name from information_schema.tables where table_schema = 'public'"
        for row in await connection.fetch(query):
            table = row["table_name"]
            found[f"{service}.{table}"] = await connection.fetchval(f'select count(*) from "{table}"')
        assert await connection.fetch("select error from parked where subject like 'events.%'") == []
        await connection.close()
    return found


def _plain(value: Any) -> Any:
    """A step's fields as JSON, the number of a disbursement made up."""
    if isinstance(value, dict):
        return "D-1" if value.get("ref") else {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def texts(schema: Schema, root: Schema, place: Place = ()) -> Iterator[Place]:
    """Where a message holds text: fields, entries of lists (0) and of tables with names of their own ("*")."""
    schema = _resolved(schema, root)
    for one in schema.get("anyOf", ()):
        yield from texts(one, root, place)
    if schema.get("type") == "string":
        yield place
    if schema.get("type") == "array":
        yield from texts(schema["items"], root, (*place, 0))
    for name, inner in schema.get("properties", {}).items():
        yield from texts(inner, root, (*place, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield (*place, "*")


def example(schema: Schema, root: Schema) -> Any:
    """A value that a part of a message takes."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], root)
    match schema.get("type"):
        case "object":
            return {name: example(inner, root) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [example(schema["items"], root)]
        case "string":
            day = "2026-06-30" if schema.get("format") == "date" else "x"
            return schema.get("enum", schema.get("examples", [day]))[0]
    return {"boolean": False}.get(schema.get("type", ""), 1)


def _resolved(schema: Schema, root: Schema) -> Schema:
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def put(data: Any, place: Place, payload: str, schema: Schema, root: Schema) -> Any:
    """A message with a payload at a place; what is not there on the way is made."""
    if not place:
        return payload
    step, schema = place[0], _resolved(schema, root)
    schema = _resolved(next(iter(schema.get("anyOf", [schema]))), root)
    if step == "*":
        return {payload: payload}
    if step == 0:
        inner = schema["items"]
        first = data[0] if data else example(inner, root)
        return [put(first, place[1:], payload, inner, root), *(data or [])[1:]]
    data = data or example(schema, root)
    inner = schema["properties"][step]
    return {**data, step: put(data.get(step), place[1:], payload, inner, root)}


def poisoned_messages(house: House) -> Iterator[tuple[str, Place, Any]]:
    """Every message with every payload in every text, one at a time."""
    for name, model in {**PARTNER_EVENTS, **COMMANDS}.items():
        schema = model.model_json_schema()
        for place, payload in itertools.product(dict.fromkeys(texts(schema, schema)), PAYLOADS):
            yield name, place, put(house.examples[name][1], place, payload, schema, schema)


def cells(content: bytes) -> list[str]:
    """What the cells of a table hold, in CSV as a spreadsheet reads them; none may be one that it would run."""
    if content[:2] != b"PK":
        found = [cell for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) for cell in row]
        numbers = re.compile(r"-?[0-9]+(\.[0-9]+)?")
        assert [one for one in found if one[:1] in tuple("=+-@\t\r") and not numbers.fullmatch(one)] == []
        return found
    book = openpyxl.load_workbook(io.BytesIO(content))
    all_cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row if cell.value]
    assert [cell.value for cell in all_cells if cell.data_type == "f" or cell.hyperlink] == []
    assert not book.defined_names and not getattr(book, "_external_links", ())
    return [str(cell.value) for cell in all_cells]


def holds_payloads(found: list[str]) -> bool:
    """Whether a formula came as far as here, as a text."""
    return any(payload.strip() in one for one in found for payload in PAYLOADS[1:])


@pytest.fixture(scope="module")
def house(start_for_module: Start, tmp_path_factory: pytest.TempPathFactory) -> House:
    stack = start_for_module("injection", "--free-ports", "--clock", "message").until_ready()
    return House(stack, poisoned_year(tmp_path_factory.mktemp("year")))


def table_of(house: House, name: str, kind: str) -> bytes:
    """Every payload in every column of an event, a row each."""
    columns = columns_of(name)
    known = {"id": "", **house.examples[name][1]}
    base = [";".join(map(str, value)) if isinstance(value := known.get(one.name, ""), list) else value
            for one in columns]  # fmt: skip
    rows = [
        [payload if at == place else cell for at, cell in enumerate(base)]
        for place, payload in itertools.product(range(len(columns)), PAYLOADS)
    ]
    table = [[column.name for column in columns], *rows]
    if kind == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(table)
        return text.getvalue().encode()
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"strings_to_formulas": False}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(table):
            for place, cell in enumerate(row):
                sheet.write_string(number, place, str(cell))
    return content.getvalue()


def test_a_year_told_in_payloads_is_the_same_year(house: House) -> None:
    assert house.outcome.ok, "\n".join(map(str, house.outcome.failed))
    assert house.outcome.pool["balance"] == "29714666.66"


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_rejected_rows_come_back_as_texts(house: House, kind: str) -> None:
    uploads = {}
    for name in PARTNER_EVENTS:
        client = house.http[house.examples[name][0]]
        files = {"file": (f"table.{kind}", table_of(house, name, kind))}
        taken = client.post(f"/partner-files/{name}", files=files)
        assert taken.status_code == 202, taken.text
        uploads[f"/partner-files/{taken.json()['id']}"] = client
    for path, client in uploads.items():
        eventually(lambda path=path, client=client: client.get(path).json()["state"] == "done", 60)
        errors = client.get(f"{path}/errors")
        assert errors.status_code == 200 and holds_payloads(cells(errors.content))


def test_no_text_of_any_message_fails_or_loses_anything(house: House) -> None:
    before = house.tables()
    messages = list(poisoned_messages(house))
    with ThreadPoolExecutor(8) as workers:
        answers = list(workers.map(lambda one: house.send(one[0], one[2]), messages))
    wrong = [
        (name, place, answer.status_code, answer.text[:200])
        for (name, place, _), answer in zip(messages, answers, strict=True)
        if answer.status_code not in (200, 403, 404, 409, 422)
    ]
    assert wrong == []
    eventually(lambda: bool(house.http["drc"].get("/progress").json()["settled"]), 60)
    after = house.tables()
    assert before.keys() == after.keys()
    assert {name: (rows, after[name]) for name, rows in before.items() if after[name] < rows} == {}
    assert house.stack.description["restarts"] == dict.fromkeys(house.stack.description["restarts"], 0)
    fields = {(name, place) for name, place, _ in messages}
    print(f"\n{len(fields)} texts of {len(house.examples)} messages, {len(messages)} sent")


def test_no_export_holds_a_cell_that_a_spreadsheet_runs(house: House) -> None:
    drc, found = house.http["drc"], {}
    for kind, period, organisation in REPORTS:
        wish = {"kind": kind, "period": period, "organisation": organisation, "format": "xlsx"}
        asked = drc.post("/reports", content=json.dumps(wish), headers={"Content-Type": "application/json"})
        path = f"/reports/{asked.json()['id']}"
        eventually(lambda path=path: drc.get(path).json()["state"] in ("done", "failed"))
        assert drc.get(path).json()["state"] == "done", drc.get(path).text
        found[kind] = cells(drc.get(f"{path}/content").raise_for_status().content)
    for page, content in asyncio.run(console_exports(house)).items():
        found[page] = cells(content)
    assert {name for name, one in found.items() if not holds_payloads(one)} == set()


async def console_exports(house: House) -> dict[str, bytes]:
    """The lists that the console gives as files, to a person of the commission."""
    engine = create_async_engine(house.stack.database_url("gateway"))
    await person(engine, "reader", "drc", "officer", "head")
    await engine.dispose()
    base = house.stack.api_url
    async with httpx.AsyncClient(base_url=base, headers={"Origin": base, "Accept": "text/html"}, timeout=30) as client:
        signed = await client.post("/sign-in", data={"login": "reader", "password": PASSWORD})
        assert signed.status_code == 303, signed.text
        pages = [f"{page}.{kind}" for page in ("/cases/export", "/ledger") for kind in ("csv", "xlsx")]
        return {page: (await client.get(page)).raise_for_status().content for page in pages}
