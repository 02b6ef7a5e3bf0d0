"""The API holds what its document promises, whatever it is asked, and whoever asks."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as promises

from riskpool.documents import openapi
from riskpool.services import SERVICES
from tests.conftest import Nats, Postgres
from tests.gateway.conftest import Gateway

WHO = ("drc", "finance", "scitech", "bank-a", "custodian", "operator")
PROMISES = [
    not_a_server_error,
    promises.status_code_conformance,
    promises.content_type_conformance,
    promises.response_headers_conformance,
    promises.response_schema_conformance,
    promises.ignored_auth,
]
ANNOUNCEMENT = "/v1/schemes/{scheme}/business-day"
DOCUMENT = openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
EXAMPLES = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
_turns = itertools.count()


@pytest.fixture(scope="module")
def whole(postgres: Postgres, server_directory: Path) -> Iterator[Gateway]:
    """All five services on databases of their own: what chance makes here is nobody else's."""
    directory = server_directory / "fuzz"
    directory.mkdir()
    nats = Nats.alone(directory / "nats")
    nats.start()
    running = Gateway(postgres, nats.url, directory, mark="fuzz", services=tuple(SERVICES))
    for institution, kind in (("bank-a", "bank"), ("custodian", "custodian")):
        body = {"institution": institution, "kind": kind, "name": institution, "valid_from": "2026-01-01",
                "valid_to": "2028-12-31"}  # fmt: skip
        with running.client("drc") as client:
            client.post("/commands/SignAgreement", json=body, headers={"Riskpool-Time": "2026-01-05"})
    running.settle()
    yield running
    running.stop()
    nats.stop()


@SCHEMA.parametrize()
@EXAMPLES
def test_every_answer_is_as_the_document_says(whole: Gateway, case: Case) -> None:
    who = WHO[next(_turns) % len(WHO)]
    if case.path_parameters and next(_turns) % 8:
        case.path_parameters["scheme"] = "yanqing"
    if case.operation.path == ANNOUNCEMENT:
        case.body = {"date": "2026-01-05"}
    token = {"Authorization": f"Bearer {whole.token(who)}"}
    case.call_and_validate(base_url=whole.url, headers=token, checks=PROMISES, timeout=30)


def test_the_document_names_every_path_of_the_api() -> None:
    from services.gateway.app import app
    from tests.gateway.test_leaks import get_routes

    served = {route.path.replace(":path", "") for route in get_routes(app.routes)}
    unknown = "/v1/schemes/{scheme}/commands/{name}"  # what is no command is answered, and not promised
    assert {path for path in served if path.startswith("/v1/")} - {unknown} == set(DOCUMENT["paths"])
