"""Money: whole fen inside, yuan with two decimals on the wire; rounding and splitting never lose a fen."""

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

_YUAN = re.compile(r"-?(0|[1-9][0-9]{0,12})\.[0-9]{2}", re.ASCII)


def parse_yuan(text: str) -> int:
    """Fen of a yuan string such as ``"5000000.00"``; ValueError unless two decimals and at most 13 digits."""
    if not _YUAN.fullmatch(text) or text == "-0.00":
        raise ValueError('an amount is a string of yuan with two decimals, such as "5000000.00"')
    return int(text.replace(".", ""))


@lru_cache(512)
def format_yuan(amount_fen: int) -> str:
    """The wire form of an amount in fen: ``123456`` is ``"1234.56"``; the same amounts come again and again."""
    if amount_fen < 0:
        return f"-{format_yuan(-amount_fen)}"
    digits = str(amount_fen).zfill(3)
    return f"{digits[:-2]}.{digits[-2:]}"


def multiply(amount_fen: int, *factors: Decimal | Fraction) -> int:
    """amount × factors in fen, rounded half-up once at the end (scheme.md: rounding is half-up to the fen)."""
    product = Fraction(amount_fen)
    for factor in factors:
        product *= Fraction(factor)
    sign = -1 if product < 0 else 1
    return sign * ((abs(product.numerator) * 2 + product.denominator) // (2 * product.denominator))


def split(amount_fen: int, shares: Sequence[Fraction | Decimal]) -> list[int]:
    """Parts in fen by shares that add up to one: largest remainder, ties to the first-named."""
    exact = [Fraction(amount_fen) * Fraction(share) for share in shares]
    parts = [part.numerator // part.denominator for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: amount_fen - sum(parts)]:
        parts[i] += 1
    return parts


def format_rate(rate: Decimal) -> str:
    """A ratio on the wire: at least two decimals, no exponent (``"0.50"``, ``"0.0385"``)."""
    text = f"{rate.normalize():f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
