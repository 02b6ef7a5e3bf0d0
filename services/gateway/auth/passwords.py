"""Passwords: argon2 off the event loop, a few at a time; what may be chosen; ones that are made for people."""

import asyncio
import secrets
from functools import cache
from typing import Final, Literal

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

# OWASP's least memory for argon2id: a sign-in takes some 30 ms, and four at once take 80 MB.
_HASHER: Final = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
AT_ONCE: Final = 4
SHORTEST, LONGEST = 12, 200
_WORDS: Final = (
    "password", "passw0rd", "admin", "administrator", "qwerty", "qwertyuiop", "asdfghjkl", "zxcvbnm", "letmein",
    "welcome", "iloveyou", "riskpool", "yanqing", "beijing", "woaini", "mima", "abc", "1qaz2wsx", "1q2w3e4r",
)  # fmt: skip
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
Fault = Literal["short", "long", "login", "common", "same", "repeat"]


async def hash_of(password: str) -> str:
    """A password's hash."""
    return await asyncio.to_thread(_HASHER.hash, password)


async def matches(password: str, kept: str | None) -> bool:
    """Whether a password is the one kept; without one as much work is done, so that time tells nothing."""
    found = await asyncio.to_thread(_verify, password[:LONGEST], kept or _nobodys())
    return found and kept is not None


def _verify(password: str, kept: str) -> bool:
    try:
        return _HASHER.verify(password, kept)
    except UnknownHashError:
        return False


@cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_urlsafe(16))


def made() -> str:
    """A password for someone to sign in with once: five groups of four, easy to read out, 99 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(5))


def fault_of(password: str, login: str) -> Fault | None:
    """Why a password must not be chosen, or None: too short, the login itself, or what everybody chooses."""
    if len(password) < SHORTEST:
        return "short"
    if len(password) > LONGEST:
        return "long"
    plain = "".join(ch for ch in password.lower() if ch.isalnum())
    if login.lower() in password.lower() and len(login) * 2 > len(password):
        return "login"
    return "common" if _is_common(plain) else None


def _is_common(plain: str) -> bool:
    """Few different characters, a run of digits or the keyboard, or a common word with digits around it."""
    if len(set(plain)) < 5 or plain in "01234567890123456789098765432109876543210":
        return True
    rest = plain
    for word in sorted(_WORDS, key=len, reverse=True):
        rest = rest.replace(word, "")
    return plain.isdecimal() or (rest != plain and not rest.strip("0123456789"))
