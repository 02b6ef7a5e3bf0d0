"""The key that signs a half-year's close: Ed25519, named by RISKPOOL_SIGNING_KEY."""

import base64
import binascii
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a start of the service need not wait for it: it signs twice a year
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SETTING = "RISKPOOL_SIGNING_KEY"
SEED_BYTES = 32


def check() -> None:
    """ValueError now, and not at the end of the half-year, where the key that is set cannot be used."""
    if named := os.environ.get(SETTING):
        read_key(named)


def sign(digest: str) -> tuple[str, str]:
    """A digest's signature and the public key, in hexadecimal; both empty where no key is set."""
    named = os.environ.get(SETTING, "")
    if not named:
        return "", ""
    key = read_key(named)
    return key.sign(digest.encode()).hex(), key.public_key().public_bytes_raw().hex()


def is_signed(digest: str, signature: str, public_key: str) -> bool:
    """Whether a signature of a digest is that of a public key; both in hexadecimal."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


@cache
def read_key(named: str) -> "Ed25519PrivateKey":
    """The key of a setting: a file with PEM or a base64 seed of 32 bytes, or that seed itself; ValueError if none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = _content(named)
    if content.startswith(b"-----BEGIN"):
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(content, None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{SETTING}: the key must be Ed25519")
        return key
    try:
        seed = base64.b64decode(content, validate=True)
    except binascii.Error:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"{SETTING}: neither a file nor a base64 seed of {SEED_BYTES} bytes")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _content(named: str) -> bytes:
    try:
        return (Path(named).read_bytes() if Path(named).is_file() else named.encode()).strip()
    except OSError as error:
        raise ValueError(f"{SETTING}: {named} cannot be read: {error.strerror}") from error
