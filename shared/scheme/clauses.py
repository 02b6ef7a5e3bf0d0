"""The source document's clauses: their text by the number under which rules and settings cite them."""

import re
import tomllib
from functools import cache
from pathlib import Path

DIRECTORY = Path(__file__).parent / "clauses"
_ITEM = re.compile(r"(.+\))\d+")


@cache
def clause_texts(scheme: str) -> dict[str, str]:
    """Every clause of a scheme's source document by its number; empty for a scheme without one."""
    file = DIRECTORY / f"{scheme}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def cited(scheme: str, citation: str) -> list[tuple[str, str]]:
    """The clauses of a citation such as ``二(二)2、三(六)``, each with its heading's and its own text (or empty)."""
    texts = clause_texts(scheme)
    found = []
    for number in filter(None, citation.split("、")):
        item = _ITEM.fullmatch(number)
        above = texts.get(item[1], "") if item else ""
        found.append((number, "\n".join(filter(None, (above, texts.get(number, ""))))))
    return found
