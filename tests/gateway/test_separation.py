"""Who drafted does not approve, over the console as it runs: a real gateway with the services behind it."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from services.gateway.auth import people as accounts_of
from services.gateway.tables import actions
from shared.clock import Clock
from tests.gateway.conftest import Gateway
from tests.gateway.console import PASSWORD, person, text_of


def at_browser(gateway: Gateway, login: str, *roles: str) -> httpx.Client:
    """A person of the commission, signed in to the running console."""

    async def add() -> None:
        engine = create_async_engine(gateway.database_url)
        await person(engine, login, "drc", *roles)
        await engine.dispose()

    asyncio.run(add())
    headers = {"Accept": "text/html", "Origin": gateway.url, "Riskpool-Time": "2026-01-12"}
    client = httpx.Client(base_url=gateway.url, headers=headers, timeout=20)
    answer = client.post("/sign-in", data={"login": login, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


@pytest.fixture(scope="module")
def people(signed: Gateway) -> Iterator[dict[str, httpx.Client]]:
    roles = {"both": ("officer", "head"), "head": ("head",), "officer": ("officer",), "auditor": ("auditor",)}
    clients = {name: at_browser(signed, f"sep-{name}", *held) for name, held in roles.items()}
    yield clients
    for client in clients.values():
        client.close()


def do(client: httpx.Client, name: str, **fields: str) -> httpx.Response:
    return client.post(f"/do/{name}", data={**fields, "_back": "/claims"})


def opened_a_batch(gateway: Gateway, login: str, half: str) -> None:
    """What the console keeps when a person has opened a batch."""

    async def keep() -> None:
        engine = create_async_engine(gateway.database_url)
        async with engine.begin() as connection:
            account = await accounts_of.account_of(connection, login)
            assert account is not None
            row = {"scheme": "yanqing", "organisation": "drc", "account": account.id, "outcome": "accepted"}
            await connection.execute(
                insert(actions).values(**row, at=Clock.now(), action="OpenClaimBatch", about=half, events=[])
            )
        await engine.dispose()

    asyncio.run(keep())


def test_who_opened_a_batch_does_not_submit_it(signed: Gateway, people: dict[str, httpx.Client]) -> None:
    opened_a_batch(signed, "sep-both", "2025H2")
    refused = do(people["both"], "SubmitClaimBatch", half="2025H2")
    assert refused.status_code == 403 and "经办与审批须由不同人员办理" in text_of(refused)
    another = do(people["head"], "SubmitClaimBatch", half="2025H2")
    assert "经办与审批" not in text_of(another), "another head gets as far as the rules of the fund"


def test_an_officer_drafts_but_does_not_decide(people: dict[str, httpx.Client]) -> None:
    refused = do(people["officer"], "SubmitClaimBatch", half="2025H2")
    assert refused.status_code == 403 and "负责人" in text_of(refused)


@pytest.mark.parametrize("name", ["OpenClaimBatch", "SubmitClaimBatch"])
def test_an_auditor_changes_nothing(people: dict[str, httpx.Client], name: str) -> None:
    refused = do(people["auditor"], name, half="2025H1")
    assert refused.status_code == 403 and "审计人员可以查看" in text_of(refused)


def test_refusals_are_recorded_with_the_person(signed: Gateway, people: dict[str, httpx.Client]) -> None:
    do(people["auditor"], "OpenClaimBatch", half="2024H2")

    async def kept() -> list[tuple[str, str, str | None]]:
        engine = create_async_engine(signed.database_url)
        async with engine.connect() as connection:
            query = select(actions.c.action, actions.c.outcome, actions.c.rule).where(actions.c.about == "2024H2")
            rows = (await connection.execute(query)).all()
        await engine.dispose()
        return [tuple(row) for row in rows]

    assert ("OpenClaimBatch", "refused", "permission") in asyncio.run(kept())
