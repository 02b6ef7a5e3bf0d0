"""The unified social credit code: its form and its two check characters (eligible.code; GB 32100, GB 11714)."""

import re

from stdnum.cn import uscc as gb32100

_FORM = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}", re.ASCII)
_INNER_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_INNER_CHECKS = "0123456789X"


def inner_check(body: str) -> str:
    """The check character of an organisation code of eight characters (GB 11714)."""
    total = sum(weight * int(char, 36) for weight, char in zip(_INNER_WEIGHTS, body, strict=True))
    return _INNER_CHECKS[-total % 11]


def problem_with(code: str) -> str | None:
    """What is wrong with a code: ``length``, ``characters``, ``check`` (18th), ``inner_check`` (17th); else None.

    The region digits are not looked at: they never accept or refuse (eligible.code).
    """
    if len(code) != 18:
        return "length"
    if not _FORM.fullmatch(code):
        return "characters"
    if gb32100.calc_check_digit(code[:17]) != code[17]:
        return "check"
    if inner_check(code[8:16]) != code[16]:
        return "inner_check"
    return None
