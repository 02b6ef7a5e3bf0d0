"""Synthetic unified social credit codes: well-formed, both check characters right, belonging to nobody."""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_PREFIX = "91110119"
_INNER_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def synthetic_uscc(number: int) -> str:
    """The ``number``-th synthetic code (0..999999) with the prefix 91110119 (GB 32100, and GB 11714 inside it)."""
    if not 0 <= number <= 999_999:
        raise ValueError("uscc takes a number from 0 to 999999")
    organisation = f"MB{number:06d}"
    code = _PREFIX + organisation + _inner_check(organisation)
    return code + _outer_check(code)


def _inner_check(organisation: str) -> str:
    total = sum(int(char, 36) * weight for char, weight in zip(organisation, _INNER_WEIGHTS, strict=True))
    return "0123456789X0"[11 - total % 11]


def _outer_check(code: str) -> str:
    total = sum(_ALPHABET.index(char) * pow(3, place, 31) for place, char in enumerate(code))
    return _ALPHABET[-total % 31]
