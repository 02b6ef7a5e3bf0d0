"""Claims of NATS's operator mode: signed tokens that say which accounts there are, and who may publish what in them.

JSON Web Tokens of version 2 as the server reads them, signed with Ed25519 nkeys. Nothing is secret but the seeds.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.clock import Clock
from shared.messaging.nkeys import Key

ANY = -1
_ALL: Mapping[str, int | bool] = {
    "subs": ANY, "data": ANY, "payload": ANY, "imports": ANY, "exports": ANY, "conn": ANY, "leaf": ANY,
    "wildcards": True,
}  # fmt: skip
_STORING: Mapping[str, int] = {"mem_storage": ANY, "disk_storage": ANY, "streams": ANY, "consumer": ANY}


@dataclass(frozen=True)
class May:
    """Subjects that a user may publish to and subscribe to; everything where nothing is named.

    ``never`` are subjects of the first that it may not publish to all the same.
    """

    publish: Sequence[str] = ()
    subscribe: Sequence[str] = ()
    never: Sequence[str] = ()


def operator_claim(root: Key, name: str, signing: Key, system_account: str) -> str:
    """Who the operator is: accounts are signed with ``signing``, so that the root's seed need not be at hand."""
    told = {"type": "operator", "system_account": system_account, "signing_keys": [signing.public]}
    return _signed(root, root.public, name, told)


def account_claim(
    operator: Key,
    account: str,
    name: str,
    *,
    exports: Sequence[Mapping[str, Any]] = (),
    imports: Sequence[Mapping[str, Any]] = (),
    limits: Mapping[str, int | bool] | None = None,
    storing: bool = False,
    signing_keys: Sequence[str] = (),
    ended: int = 0,
) -> str:
    """What an account shows and sees of others; its users are signed by itself or by one of ``signing_keys``.

    Credentials made up to ``ended``, in Unix seconds, are valid no more.
    """
    told: dict[str, Any] = {
        "type": "account",
        "limits": {**_ALL, **(_STORING if storing else {}), **(limits or {})},
        "default_permissions": {"pub": {}, "sub": {}},
        "exports": list(exports),
        "imports": list(imports),
        "signing_keys": list(signing_keys),
        "revocations": {"*": ended} if ended else {},
    }
    return _signed(operator, account, name, {key: value for key, value in told.items() if value})


def user_claim(signer: Key, user: str, name: str, may: May, *, account: str = "", expires: int | None = None) -> str:
    """A user of the signer's account, or of ``account`` whose signing key that is; ``expires`` in Unix seconds."""
    told: dict[str, Any] = {"type": "user", "subs": ANY, "data": ANY, "payload": ANY}
    told |= {"pub": {"allow": list(may.publish), "deny": list(may.never)} if may.publish else {}}
    told |= {"sub": {"allow": list(may.subscribe)} if may.subscribe else {}}
    return _signed(signer, user, name, {**told, **({"issuer_account": account} if account else {})}, expires)


def credentials(claim: str, user: Key) -> str:
    """The text of a ``.creds`` file: what a client connects with."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{claim}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def _signed(issuer: Key, subject: str, name: str, told: Mapping[str, Any], expires: int | None = None) -> str:
    claim: dict[str, Any] = {
        "iat": int(Clock.now().timestamp()),
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": {**told, "version": 2},
    }
    if expires:
        claim["exp"] = expires
    digest = hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).digest()
    claim["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head, body = (_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, claim))
    return f"{head}.{body}.{_base64(issuer.sign(f'{head}.{body}'.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
