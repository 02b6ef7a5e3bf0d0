"""Signing in with an identity provider: a real one on loopback, and one that lies about everything it can."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from oidc_provider_mock import User, run_server_in_thread
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.auth.settings import SignInSettings
from services.gateway.tables import accounts, memberships
from shared.clock import Clock
from tests.gateway.console import HOST, PASSWORD, application, browser, person, sign_in

CLIENT = "riskpool-console"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the provider's own making


def configured(monkeypatch: pytest.MonkeyPatch, engine: AsyncEngine, issuer: str, **more: str) -> FastAPI:
    """The pages with a provider in their settings."""
    for name, value in {"ISSUER": issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": "s3cret", **more}.items():
        monkeypatch.setenv(f"RISKPOOL_OIDC_{name}", value)
    return application(engine)


# -- a real provider ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    people = (
        User(sub="1", claims={"preferred_username": "Li"}),
        User(sub="2", claims={"preferred_username": "unknown"}),
        User(sub="3", claims={"email": "li", "email_verified": True}),
        User(sub="4", claims={"email": "li", "email_verified": False}),
        User(sub="5", claims={}),
    )
    with run_server_in_thread(user_claims=people, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


async def at_provider(client: httpx.AsyncClient, sub: str, action: str = "authorize") -> str:
    """Go to the provider, say who one is there, and come back with the address it sends the browser to."""
    go = await client.get("/sign-in/provider", params={"next": "/permissions"})
    assert go.status_code == 303, go.text
    async with httpx.AsyncClient(trust_env=False) as elsewhere:
        answer = await elsewhere.post(go.headers["location"], data={"sub": sub, "action": action})
    assert answer.status_code == 302, answer.text
    location = answer.headers["location"]
    assert location.startswith(f"{HOST}/sign-in/return?")
    return str(location)


async def test_a_person_whom_the_provider_knows_signs_in_with_the_account_that_exists(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "finance", "head")
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        assert "/sign-in/provider" in (await client.get("/sign-in")).text
        client.headers["Sec-Fetch-Site"] = "cross-site"  # what a browser says of the way back
        answer = await client.get(await at_provider(client, "1"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/permissions")
        assert "riskpool-attempt" not in client.cookies
        page = await client.get("/account")
        assert page.status_code == 200 and "区财政局" in page.text


async def test_the_provider_never_makes_an_account(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        answer = await client.get(await at_provider(client, "2"))
        assert answer.status_code == 403 and "“unknown”" in answer.text and "riskpool" not in client.cookies
    async with engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(accounts))).scalar_one() == 1
        assert (await connection.execute(select(func.count()).select_from(memberships))).scalar_one() == 1


async def test_disabled_accounts_stay_outside(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    async with engine.begin() as connection:
        await connection.execute(accounts.update().values(disabled_at=Clock.now()))
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        assert (await client.get(await at_provider(client, "1"))).status_code == 403


@pytest.mark.parametrize(("claim", "sub", "status"), [("email", "3", 303), ("email", "4", 401), ("sub", "5", 403)])
async def test_the_claim_that_names_the_login_is_a_setting_and_an_address_must_be_verified(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch, claim: str, sub: str, status: int
) -> None:
    await person(engine, "li", "drc", "officer")
    async with browser(configured(monkeypatch, engine, issuer, CLAIM=claim)) as client:
        assert (await client.get(await at_provider(client, sub))).status_code == status


async def test_a_person_without_the_claim_is_told_so(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        answer = await client.get(await at_provider(client, "5"))
        assert answer.status_code == 401 and "preferred_username" in answer.text


async def test_who_declines_comes_back_to_the_sign_in_page(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        go = await client.get("/sign-in/provider")
        state = parse_qs(urlsplit(go.headers["location"]).query)["state"][0]
        answer = await client.get("/sign-in/return", params={"error": "access_denied", "state": state})
        assert answer.status_code == 401 and "access_denied" in answer.text and 'action="/sign-in"' in answer.text


async def test_the_way_back_counts_once_and_in_the_same_browser_only(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    app = configured(monkeypatch, engine, issuer)
    async with browser(app) as client, browser(app) as other:
        location = await at_provider(client, "1")
        assert (await other.get(location)).status_code == 401, "no attempt began there"
        await other.get("/sign-in/provider")
        assert (await other.get(location)).status_code == 401, "another attempt began there"
        assert (await client.get(location)).status_code == 303
        assert (await client.get(location)).status_code == 401


async def test_a_local_password_still_works_beside_the_provider(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        assert (await sign_in(client, "li", PASSWORD)).status_code == 303


# -- a provider that lies ----------------------------------------------------------------------------------------


class Liar:
    """A provider whose answers a test bends: ``metadata`` and ``claims`` are laid over the right ones."""

    def __init__(self) -> None:
        self.key, self.strange = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
        self.signing: Any = self.key
        self.algorithm, self.nonce, self.challenge = "RS256", "", ""
        self.metadata: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.asked: dict[str, str] = {}
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(liar.description() if "openid-configuration" in self.path else liar.keys())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                liar.asked = dict(parse_qsl(body)) | {"authorization": self.headers.get("Authorization", "")}
                self._answer({"access_token": "a", "token_type": "Bearer", "id_token": liar.token()})

            def _answer(self, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def description(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        known = {name: self.issuer + path for name, path in paths.items()}
        return {"issuer": self.issuer, **known, **self.metadata}

    def keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def token(self) -> str:
        now = int(Clock.now().timestamp())
        right = {"iss": self.issuer, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": self.nonce}
        claims = {"preferred_username": "li", **right, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm == "none":
            parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in ({"alg": "none"}, claims)]
            return b".".join([*parts, b""]).decode()
        return jwt.encode({"alg": self.algorithm}, claims, self.signing, algorithms=[self.algorithm])

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    provider = Liar()
    yield provider
    provider.stop()


@pytest.fixture
async def visitor(liar: Liar, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    await person(engine, "li", "drc", "officer")
    async with browser(configured(monkeypatch, engine, liar.issuer)) as client:
        yield client


async def come_back(liar: Liar, client: httpx.AsyncClient) -> httpx.Response:
    """Begin, and come back with a code at once, as if one had signed in at the provider."""
    go = await client.get("/sign-in/provider")
    if go.status_code != 303:
        return go
    asked = parse_qs(urlsplit(go.headers["location"]).query)
    liar.nonce, liar.challenge = asked["nonce"][0], asked["code_challenge"][0]
    assert asked["code_challenge_method"] == ["S256"] and asked["response_type"] == ["code"]
    return await client.get("/sign-in/return?" + urlencode({"code": "c", "state": asked["state"][0]}))


async def test_a_truthful_answer_is_taken_and_the_code_is_redeemed_with_its_verifier(
    liar: Liar, visitor: httpx.AsyncClient
) -> None:
    assert (await come_back(liar, visitor)).status_code == 303
    digest = hashlib.sha256(liar.asked["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == liar.challenge
    assert liar.asked["redirect_uri"] == f"{HOST}/sign-in/return"
    assert base64.b64decode(liar.asked["authorization"].split()[1]).decode() == f"{CLIENT}:s3cret"


NOW = int(Clock.now().timestamp())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": None},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"aud": [CLIENT, "another"]},
        {"exp": NOW - 3600},
        {"exp": None},
        {"iat": NOW + 3600},
        {"nonce": "replayed"},
        {"nonce": None},
        {"sub": None},
        {"preferred_username": None},
        {"preferred_username": ["li"]},
        {"preferred_username": ""},
    ],
    ids=range(15),
)
async def test_a_token_that_says_something_wrong_is_refused(
    liar: Liar, visitor: httpx.AsyncClient, claims: dict[str, Any]
) -> None:
    liar.claims = claims
    answer = await come_back(liar, visitor)
    assert answer.status_code == 401 and "统一身份认证未能完成" in answer.text
    assert "riskpool" not in visitor.cookies


@pytest.mark.parametrize("how", ["another key", "none", "the public key as a secret"])
async def test_a_token_that_the_provider_did_not_sign_is_refused(
    liar: Liar, visitor: httpx.AsyncClient, how: str
) -> None:
    if how == "another key":
        liar.signing = liar.strange
    elif how == "none":
        liar.algorithm = "none"
    else:
        liar.algorithm = "HS256"
        public = json.dumps(KeySet([liar.key]).as_dict(private=False)).encode()
        liar.signing = OctKey.import_key(public)
    assert (await come_back(liar, visitor)).status_code == 401


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "http://127.0.0.1:1"}, {"token_endpoint": None}, {"authorization_endpoint": "javascript:alert(1)"}],
    ids=str,
)
async def test_a_description_that_is_not_the_issuers_is_refused(
    liar: Liar, visitor: httpx.AsyncClient, metadata: dict[str, Any]
) -> None:
    liar.metadata = metadata
    assert (await come_back(liar, visitor)).status_code == 401


async def test_a_provider_that_is_away_leaves_the_local_way_open(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    async with browser(configured(monkeypatch, engine, "http://127.0.0.1:9")) as client:
        answer = await client.get("/sign-in/provider")
        assert answer.status_code == 401 and re.search(r'action="/sign-in"', answer.text)
        assert (await sign_in(client, "li")).status_code == 303


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_ISSUER", "example"),
        ("OIDC_ISSUER", "https://id.example"),
        ("PUBLIC_URL", "ftp://x"),
        ("SESSION_HOURS", "0"),
        ("SESSION_IDLE_MINUTES", "half an hour"),
    ],
)
def test_settings_that_cannot_be_are_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"RISKPOOL_{name}", value)
    with pytest.raises(ValueError, match="RISKPOOL_"):
        SignInSettings.from_environment()


async def test_without_a_provider_there_is_no_such_way(engine: AsyncEngine) -> None:
    async with browser(application(engine)) as client:
        assert "/sign-in/provider" not in (await client.get("/sign-in")).text
        assert (await client.get("/sign-in/provider")).status_code == 404


async def test_a_person_without_a_password_here_is_not_asked_for_one(
    engine: AsyncEngine, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person(engine, "li", "drc", "officer")
    async with engine.begin() as connection:
        await connection.execute(accounts.update().values(password_hash=None))
    async with browser(configured(monkeypatch, engine, issuer)) as client:
        assert (await sign_in(client, "li")).status_code == 401
        await client.get(await at_provider(client, "1"))
        page = (await client.get("/account")).text
        assert "/account/password" not in page and "统一身份认证" in page
        assert (await client.get("/account/password")).headers["location"] == "/account"
