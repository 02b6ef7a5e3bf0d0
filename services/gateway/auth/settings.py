"""How persons sign in here: the console's own address, how long sessions last, and the identity provider."""

import os
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from shared.secret import secret

PREFIX = "RISKPOOL_"


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider; ``claim`` of its identity token names a login that exists here."""

    issuer: str
    client_id: str
    client_secret: str
    claim: str
    label: str


@dataclass(frozen=True)
class SignInSettings:
    """Read once at start; docs/sign-in.md lists the variables."""

    public_url: str = ""
    idle: timedelta = timedelta(minutes=30)
    lifetime: timedelta = timedelta(hours=12)
    provider: Provider | None = None

    @classmethod
    def from_environment(cls) -> "SignInSettings":
        """From ``RISKPOOL_…``; ValueError says which variable cannot be used."""
        return cls(
            public_url=_url("PUBLIC_URL"),
            idle=timedelta(minutes=_number("SESSION_IDLE_MINUTES", 30)),
            lifetime=timedelta(hours=_number("SESSION_HOURS", 12)),
            provider=_provider(),
        )


def _provider() -> Provider | None:
    issuer = _url("OIDC_ISSUER")
    if not issuer:
        return None
    client_id = _text("OIDC_CLIENT_ID")
    if not client_id:
        raise ValueError("RISKPOOL_OIDC_CLIENT_ID must be set together with RISKPOOL_OIDC_ISSUER")
    claim = _text("OIDC_CLAIM") or "preferred_username"
    return Provider(issuer, client_id, secret(f"{PREFIX}OIDC_CLIENT_SECRET"), claim, _text("OIDC_LABEL"))


def _text(name: str) -> str:
    return os.environ.get(PREFIX + name, "").strip()


def _number(name: str, default: int) -> int:
    text = _text(name) or str(default)
    if not text.isdecimal() or not 0 < int(text[:6]) <= 100_000:
        raise ValueError(f"{PREFIX}{name} must be a whole number above zero, not {text!r}")
    return int(text)


def _url(name: str) -> str:
    text = _text(name).rstrip("/")
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise ValueError(f"{PREFIX}{name} must be an address such as https://fund.example, not {text!r}")
    return text
