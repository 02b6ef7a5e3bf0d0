"""File names: what is kept of the one that came, and how it is told when the file is given out."""

import unicodedata
from urllib.parse import quote

from services.gateway.documents.refused import NotTaken

_LONGEST_NAME = 150


def plain_name(name: str) -> str:
    """A file's own name: without folders, control and direction characters; NotTaken when nothing is left."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(ch for ch in last if unicodedata.category(ch) not in ("Cc", "Cf", "Cs", "Zl", "Zp")).strip(" .")
    stem, dot, ending = kept.rpartition(".")
    if not dot or not stem or len(ending) > 10:
        raise NotTaken("name")
    return f"{stem[:_LONGEST_NAME]}.{ending}"


def attachment(name: str) -> str:
    """Content-Disposition with the name in any script (RFC 6266, RFC 5987) and a plain one for old readers."""
    plain = "".join(ch if " " <= ch <= "~" and ch not in '"\\%;' else "_" for ch in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
