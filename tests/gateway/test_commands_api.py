"""Commands over HTTP: checked as JSON at the door, decided by their service, refused in words."""

import concurrent.futures
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from riskpool.scenario.codes import synthetic_uscc
from tests.gateway.conftest import Gateway

URL = "/commands/ReferEnterprise"
TIME = {"Riskpool-Time": "2026-01-12T10:00:00+08:00"}
JSON = {"Content-Type": "application/json"}


def enterprise(**changes: Any) -> dict[str, Any]:
    person = {"name": "赵一", "id": "110229198001010011"}
    return {
        "uscc": "91110119MA01ABC17J",
        "name": "甲公司",
        "industry": "industrial",
        "sector": "low_altitude",
        "employees": 120,
        "revenue": "36000000.00",
        "assets": "20000000.00",
        "region": "110119",
        "registration": "active",
        "legal_representative": person,
        "actual_controller": person,
        "shareholders": [{**person, "share": "1.00"}],
        "project": "无人机",
        "need": "3000000.00",
        "purpose": "原料",
        "letter_no": "1号",
        "materials": [],
        **changes,
    }


@pytest.fixture
def scitech(signed: Gateway) -> Iterator[httpx.Client]:
    with signed.client("scitech", **TIME) as client:
        yield client


def problem(answer: httpx.Response, status: int, rule: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["rule"], body["type"]) == (status, rule, f"urn:riskpool:rule:{rule}")
    assert body["title"] and body["detail"] and "—" not in body["detail"].replace("——", "")
    return body


def test_a_command_answers_its_events_and_its_key_answers_the_same_again(scitech: httpx.Client) -> None:
    first = scitech.post(URL, json=enterprise(), headers={"Idempotency-Key": "refer-1"})
    assert first.status_code == 200 and first.headers["idempotency-key"] == "refer-1"
    assert [event["type"] for event in first.json()["events"]] == ["riskpool.EnterpriseReferred.v1"]
    assert scitech.post(URL, json=enterprise(), headers={"Idempotency-Key": "refer-1"}).json() == first.json()
    other = scitech.post(URL, json=enterprise(name="乙"), headers={"Idempotency-Key": "refer-1"})
    problem(other, 409, "idempotency.mismatch")


def test_a_refusal_names_rule_clause_and_version_in_the_callers_language(scitech: httpx.Client) -> None:
    scitech.post(URL, json=enterprise())
    chinese = problem(scitech.post(URL, json=enterprise()), 409, "eligible.open_case")
    english = problem(
        scitech.post(URL, json=enterprise(), headers={"Accept-Language": "en-GB, zh;q=0.5"}), 409, "eligible.open_case"
    )
    assert chinese["clause"] and len(chinese["scheme_version"]) == 64
    assert "已有在办案件" in chinese["detail"] and "already has a case" in english["detail"]


@pytest.mark.parametrize("authorization", [None, "", "Basic abc", "Bearer", "Bearer rp_wrong", "bearer é"])
def test_without_a_valid_token_nothing_is_read_or_done(signed: Gateway, authorization: str | None) -> None:
    headers = {"Authorization": authorization.encode()} if authorization is not None else {}
    for method, path in (("GET", "/pool"), ("POST", URL), ("GET", "/events")):
        answer = httpx.request(method, f"{signed.url}/v1/schemes/yanqing{path}", headers=headers)
        problem(answer, 401, "authentication")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_of_another_scheme_or_for_an_unknown_one_does_not_pass(signed: Gateway) -> None:
    foreign = {"Authorization": f"Bearer {signed.token('drc', 'elsewhere')}"}
    problem(httpx.get(f"{signed.url}/v1/schemes/yanqing/pool", headers=foreign), 403, "permission")
    problem(httpx.get(f"{signed.url}/v1/schemes/elsewhere/pool", headers=foreign), 404, "unknown")


def test_an_organisation_of_the_wrong_kind_is_told_who_may(signed: Gateway) -> None:
    with signed.client("finance", **TIME) as client:
        assert "department" in problem(client.post(URL, json=enterprise()), 403, "permission")["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"\xff\xfe", "body"),
        (b'{"uscc": "\\ud800"}', "body"),
        (b"[" * 5000, "body"),
        (json.dumps(enterprise(need=3000000)).encode(), "need"),
        (json.dumps(enterprise(need=3000000.0)).encode(), "need"),
        (json.dumps(enterprise(need="3000000")).encode(), "need"),
        (json.dumps(enterprise(need="-1.00")).encode(), "need"),
        (json.dumps(enterprise(employees="12")).encode(), "employees"),
        (json.dumps(enterprise(employees=True)).encode(), "employees"),
        (json.dumps(enterprise(registration="closed")).encode(), "registration"),
        (json.dumps(enterprise(name="a\0b")).encode(), "name"),
        (json.dumps({**enterprise(), "shareholders": [{"name": "赵", "share": 1}]}).encode(), "shareholders.0.share"),
        (json.dumps({k: v for k, v in enterprise().items() if k != "uscc"}).encode(), "uscc"),
        (json.dumps(enterprise()).encode()[:-1] + b', "extra": ' + b"9" * 5000 + b"}", "body"),
    ],
)
def test_a_body_that_the_contract_does_not_take_names_the_field_and_not_the_value(
    scitech: httpx.Client, body: bytes, field: str
) -> None:
    answer = problem(scitech.post(URL, content=body, headers=JSON), 422, "malformed")
    assert field in [error["field"] for error in answer["errors"]]
    assert "3000000.0" not in json.dumps(answer["errors"])


def test_unknown_fields_duplicates_and_nan_outside_the_contract_do_no_harm(scitech: httpx.Client) -> None:
    body = json.dumps(enterprise(uscc="911101191000000164")).encode()
    sent = b'{"later": NaN, "name": "first", ' + body[1:]
    answer = scitech.post(URL, content=sent, headers=JSON)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml", "multipart/form-data", "application/json5"])
def test_another_media_type_is_refused(scitech: httpx.Client, kind: str) -> None:
    problem(scitech.post(URL, content=b"{}", headers={"Content-Type": kind}), 415, "media_type")


def test_json_with_a_charset_is_json(scitech: httpx.Client) -> None:
    answer = scitech.post(URL, content=b"{}", headers={"Content-Type": "Application/JSON; charset=utf-8"})
    problem(answer, 422, "malformed")


def test_more_than_a_megabyte_is_refused_announced_or_in_chunks(scitech: httpx.Client) -> None:
    large = b'{"name": "' + b"x" * 1_000_000 + b'"}'
    problem(scitech.post(URL, content=large, headers=JSON), 413, "too_large")

    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 100_000

    problem(scitech.post(URL, content=chunks(), headers=JSON), 413, "too_large")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "ключ"])
def test_a_key_that_is_not_printable_is_refused(scitech: httpx.Client, key: str) -> None:
    answer = scitech.post(URL, json=enterprise(), headers={"Idempotency-Key": key.encode()})
    assert problem(answer, 422, "malformed")["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["x", "x" * 200, "order/7 #1~"])
def test_a_key_of_one_to_two_hundred_printable_characters_is_taken(scitech: httpx.Client, key: str) -> None:
    body = enterprise(uscc="not a code")
    problem(scitech.post(URL, json=body, headers={"Idempotency-Key": key}), 409, "eligible.code")


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-01-12T10:00:00", "2026-13-01", "0001-01-01", "9999-12-31", "20260112"]
)
def test_a_business_time_that_is_none_is_refused(scitech: httpx.Client, time: str) -> None:
    answer = scitech.post(URL, json=enterprise(), headers={"Riskpool-Time": time})
    assert problem(answer, 422, "malformed")["errors"]


def test_an_unknown_command_path_and_method_are_problems_too(scitech: httpx.Client) -> None:
    problem(scitech.post("/commands/NoSuchThing", json={}), 404, "unknown")
    problem(scitech.get("/no/such/path"), 404, "unknown")
    problem(scitech.get(URL), 405, "method")


def test_a_service_that_is_away_asks_to_try_again_with_the_same_key(signed: Gateway) -> None:
    with signed.client("finance", **TIME) as client:
        body = {"source": "policy_fund", "amount": "1.00", "bank_ref": "C-1"}
        answer = client.post("/commands/InjectCapital", json=body, headers={"Idempotency-Key": "again"})
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1" and answer.headers["idempotency-key"] == "again"


def test_a_command_on_a_later_date_first_announces_every_day_between(signed: Gateway) -> None:
    with signed.client("drc") as drc:
        today = drc.post("/business-day", json={"date": "2026-01-12"}).json()["date"]
        assert today == "2026-01-12"
        with signed.client("scitech", **{"Riskpool-Time": "2026-01-15"}) as client:
            client.post(URL, json=enterprise(uscc="not a code"))
        signed.settle()
        days = drc.get("/events?type=BusinessDayStarted&limit=500").json()["items"]
    dates = [event["data"]["date"] for event in days]
    assert dates[-4:] == ["2026-01-12", "2026-01-13", "2026-01-14", "2026-01-15"] and len(set(dates)) == len(dates)


def test_the_business_day_moves_forward_only_for_agencies_and_within_reason(signed: Gateway) -> None:
    with signed.client("bank-a") as bank, signed.client("drc") as drc:
        problem(bank.post("/business-day", json={"date": "2026-02-01"}), 403, "permission")
        problem(drc.post("/business-day", json={"date": "2199-01-01"}), 422, "malformed")
        problem(drc.post("/business-day", json={"date": 20260201}), 422, "malformed")
        before = drc.post("/business-day", json={"date": "2026-01-05"}).json()
        assert before["announced"] == [] and before["date"] > "2026-01-05"


def test_the_same_key_from_many_at_once_is_carried_out_once(signed: Gateway) -> None:
    body = enterprise(uscc=synthetic_uscc(42))

    def send(_: int) -> str:
        with signed.client("scitech", **{"Riskpool-Time": "2026-01-20", "Idempotency-Key": "once"}) as client:
            return json.dumps(client.post(URL, json=body).json(), sort_keys=True)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(8)))
    assert len(answers) == 1 and "EnterpriseReferred" in answers.pop()
