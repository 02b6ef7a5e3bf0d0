"""A half-year is closed once, by what the books said at its end, and signed with the key that the pool was given."""

import base64
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy.ext.asyncio import AsyncEngine

from services.pool import handlers, signing
from services.pool.domain.close import Stand, close_books, digest_of, half_before, halves
from services.pool.queries import stand_of
from shared.contracts.gateway import BusinessDayStarted
from shared.contracts.partners import FundsReceived
from shared.contracts.pool import BooksClosed
from tests.pool.test_store import do, engine, first_days

__all__ = ["engine"]
SEED = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    ("day", "half"),
    [
        (date(2026, 7, 1), "2026H1"), (date(2026, 12, 31), "2026H1"),
        (date(2027, 1, 1), "2026H2"), (date(2027, 6, 30), "2026H2"),
    ],
)  # fmt: skip
def test_the_half_year_before_a_day(day: date, half: str) -> None:
    assert half_before(day) == half


def test_half_years_in_order() -> None:
    assert halves("2025H2", "2027H1") == ["2025H2", "2026H1", "2026H2", "2027H1"]
    assert halves("2026H2", "2026H1") == []


def test_the_digest_covers_everything_but_the_seal() -> None:
    stand = Stand(position=1, sha256="aa", rows=2, rows_sha256="bb")
    close = close_books("s", "v", "2026H1", stand, {"cash": 5, "x": 0}, "", date(2026, 7, 1), lambda d: ("sig", "key"))
    assert close.digest == digest_of(close) and [b.account for b in close.balances] == ["cash"]
    assert digest_of(close.but(signature="", public_key="other")) == close.digest
    for name in ("scheme", "scheme_version", "half", "sha256", "rows_sha256", "previous"):
        assert digest_of(close.but(**{name: "2027H2"})) != close.digest
    assert digest_of(close.but(rows=3)) != close.digest and digest_of(close.but(balances=())) != close.digest


def pem() -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("content", [SEED, SEED + "\n", pem()])
def test_a_key_is_read_from_a_file(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    monkeypatch.setenv(signing.SETTING, str(file))
    signature, public = signing.sign("ab" * 32)
    assert signing.is_signed("ab" * 32, signature, public)
    assert not signing.is_signed("ba" * 32, signature, public)
    assert not signing.is_signed("ab" * 32, "00" + signature[2:], public)


@pytest.mark.parametrize("named", ["/nowhere/key", "c2hvcnQ=", "not base64!"])
def test_a_key_that_cannot_be_used_is_said_at_the_start(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.SETTING, named)
    with pytest.raises(ValueError, match="RISKPOOL_SIGNING_KEY"):
        signing.check()


async def closes_of(engine: AsyncEngine, day: date) -> list[Any]:
    decision = await do(engine, handlers.close_half_years, BusinessDayStarted(date=day), day)
    return list(decision.events)


async def test_the_first_day_after_a_half_year_closes_it_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.SETTING, SEED)
    await first_days(engine)
    assert await closes_of(engine, date(2026, 6, 30)) == []
    async with engine.connect() as connection:
        before = await stand_of(connection, "yanqing")
    [close] = await closes_of(engine, date(2026, 7, 1))
    assert isinstance(close, BooksClosed)
    assert (close.half, close.position, close.sha256) == ("2026H1", before.position, before.sha256)
    assert (close.rows, close.rows_sha256) == (before.rows, before.rows_sha256)
    assert {b.account: b.amount for b in close.balances}["recovered"] == -40_00
    assert close.digest == digest_of(close) and signing.is_signed(close.digest, close.signature, close.public_key)
    for day in (date(2026, 7, 1), date(2026, 7, 2)):
        assert await closes_of(engine, day) == []


async def test_half_years_that_were_missed_are_closed_together_each_after_the_one_before(engine: AsyncEngine) -> None:
    await first_days(engine)
    closes = await closes_of(engine, date(2027, 7, 3))
    assert [close.half for close in closes] == ["2026H1", "2026H2", "2027H1"]
    assert [close.previous for close in closes] == ["", closes[0].digest, closes[1].digest]
    assert closes[0].signature == "" == closes[0].public_key


async def test_money_of_before_the_first_close_is_closed_after_it(engine: AsyncEngine) -> None:
    await first_days(engine)
    [first] = await closes_of(engine, date(2026, 7, 1))
    late = FundsReceived(purpose="other", amount=1_00, bank_ref="late", received_on=date(2025, 12, 20))
    await do(engine, handlers.book_funds, late, date(2026, 8, 1))
    closes = await closes_of(engine, date(2027, 1, 1))
    assert [close.half for close in closes] == ["2025H2", "2026H2"]
    assert [close.previous for close in closes] == [first.digest, closes[0].digest]
    assert await closes_of(engine, date(2027, 1, 2)) == []


async def test_nothing_is_closed_before_money_moved(engine: AsyncEngine) -> None:
    assert await closes_of(engine, date(2026, 7, 1)) == []
