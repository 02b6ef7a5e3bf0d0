"""Signing in with an identity provider: OpenID Connect, code flow with PKCE, every answer of the provider checked."""

import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.gateway.auth.settings import Provider

# Signatures that only the provider can make: never "none", never one made with a secret that both sides know.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_SECONDS: Final = 60
TIMEOUT_SECONDS: Final = 10
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderError(Exception):
    """What did not work between the provider and us, in a few words."""


@dataclass(frozen=True)
class Attempt:
    """What the browser keeps in a short-lived cookie until the provider sends it back."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def begin(cls, back: str) -> "Attempt":
        """A new attempt, which only this browser can finish."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), back[:2000])

    @classmethod
    def read(cls, cookie: str) -> "Attempt | None":
        """The attempt of a cookie, or None when there is none or it is broken."""
        try:
            parts = json.loads(bytes.fromhex(cookie))
            return cls(*(str(parts[name]) for name in ("state", "nonce", "verifier", "next")))
        except (ValueError, KeyError, TypeError):
            return None

    def cookie(self) -> str:
        """As a cookie's value."""
        return json.dumps(asdict(self)).encode().hex()


async def address_of(provider: Provider, attempt: Attempt, back: str) -> str:
    """Where the browser goes to sign in; ProviderError when the provider cannot be asked."""
    async with _client(provider, back) as client:
        known = await _discover(client, provider)
        url, _ = client.create_authorization_url(
            known["authorization_endpoint"], state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
        )
    return str(url)


async def login_of(provider: Provider, attempt: Attempt, code: str, back: str, now: datetime) -> str:
    """Who signed in at the provider, by the claim that names a login here; ProviderError for anything amiss."""
    async with _client(provider, back) as client:
        known = await _discover(client, provider)
        try:
            token = await client.fetch_token(
                known["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=attempt.verifier
            )
        except (AuthlibBaseError, httpx2.HTTPError, ValueError) as error:
            raise ProviderError(getattr(error, "error", "") or "the code was not accepted") from error
        keys = await _read(client, known["jwks_uri"])
    claims = _claims(provider, attempt, str(token.get("id_token", "")), keys, now)
    login = claims.get(provider.claim)
    if not isinstance(login, str) or not login.strip():
        raise ProviderError(f"the identity token has no claim {provider.claim}")
    if provider.claim == "email" and claims.get("email_verified") is not True:
        raise ProviderError("the address has not been verified")
    return login


def _client(provider: Provider, back: str) -> Any:
    return AsyncOAuth2Client(
        client_id=provider.client_id,
        client_secret=provider.client_secret or None,
        token_endpoint_auth_method="client_secret_basic" if provider.client_secret else "none",
        scope="openid email" if provider.claim == "email" else "openid profile",
        redirect_uri=back,
        code_challenge_method="S256",
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
    )


async def _discover(client: Any, provider: Provider) -> dict[str, str]:
    """The provider's own description; it must speak for the issuer that the settings name."""
    known = await _read(client, f"{provider.issuer}/.well-known/openid-configuration")
    if str(known.get("issuer", "")).rstrip("/") != provider.issuer:
        raise ProviderError("it describes another issuer")
    secure = provider.issuer.startswith("https:")
    for name in ENDPOINTS:
        url = known.get(name)
        if not isinstance(url, str) or not url.startswith("https:" if secure else "http"):
            raise ProviderError(f"it names no usable {name}")
    return known


async def _read(client: Any, url: str) -> dict[str, Any]:
    try:
        answer = await client.request("GET", url, withhold_token=True)
        found = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError) as error:
        raise ProviderError("it cannot be reached") from error
    if not isinstance(found, dict):
        raise ProviderError("it answers in another way")
    return found


def _claims(
    provider: Provider, attempt: Attempt, token: str, keys: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """What a signed identity token says, once it is from this provider, for us, in time and for this attempt."""
    rules = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "values": [provider.issuer, f"{provider.issuer}/"]},
        aud={"essential": True, "value": provider.client_id},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        nonce={"essential": True, "value": attempt.nonce},
    )
    try:
        claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS).claims  # type: ignore[arg-type]
        rules.validate(claims)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise ProviderError("the identity token is not valid") from error
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != provider.client_id:
        raise ProviderError("the identity token is for another client")
    return dict(claims)
