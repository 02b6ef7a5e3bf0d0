"""NATS's keys (nkeys): Ed25519 pairs as base32 text with a letter for whose they are; signing in with them.

nats-py wants a package for this that comes without a wheel; `cryptography` is here already.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a start of a service without credentials need not wait for it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3
_SEED = 18 << 3
_PART = re.compile(r"-----BEGIN [A-Z ]+-----\s+(\S+)\s+-{5,6}END [A-Z ]+-{5,6}")


@dataclass(frozen=True)
class Key:
    """A key pair; ``public`` names whom it belongs to."""

    seed: str
    public: str

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of some bytes."""
        return _private(_decoded(self.seed)[2:]).sign(data)


def new_key(kind: int) -> Key:
    """A new pair of an operator, an account or a user."""
    return key_of(_encoded(bytes([_SEED | kind >> 5, kind << 3 & 0xFF]) + secrets.token_bytes(32)))


def key_of(seed: str) -> Key:
    """The pair that a seed stands for; ValueError when it is none."""
    raw = _decoded(seed)
    if len(raw) != 34 or raw[0] & 0xF8 != _SEED:
        raise ValueError("not the seed of a NATS key")
    kind = (raw[0] & 7) << 5 | raw[1] >> 3
    return Key(seed, _encoded(bytes([kind]) + _private(raw[2:]).public_key().public_bytes_raw()))


def signing_in(read: Callable[[], str]) -> tuple[Callable[[], bytes], Callable[[str], bytes]]:
    """What nats-py asks to sign in with credentials: the user's claim, and the server's nonce signed.

    ``read`` gives the text of a ``.creds`` file, anew at every connecting, so that a new file counts without a restart.
    """

    def parts() -> tuple[str, str]:
        found = _PART.findall(read())
        if len(found) != 2:
            raise ValueError("not the text of a .creds file")
        return found[0], found[1]

    return lambda: parts()[0].encode(), lambda nonce: base64.b64encode(key_of(parts()[1]).sign(nonce.encode()))


def _private(raw: bytes) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(raw)


def _encoded(raw: bytes) -> str:
    whole = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(whole).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        whole = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error as error:
        raise ValueError("not a NATS key") from error
    raw = whole[:-2]
    if _encoded(raw) != text:  # the checksum, and the last letter's bits that stand for nothing
        raise ValueError("not a NATS key: it was mistyped or cut")
    return raw
