"""Scheme versions as kept: each must be what its hash says, and can then decide again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from riskpool.proof.findings import Findings
from shared.scheme.loader import Scheme, SchemeError, content_of, scheme_of, size_standard_of, version_of


class VersionRow(NamedTuple):
    """A row of ``scheme_versions``."""

    scheme: str
    version: str
    content: Mapping[str, Any]


Versions = dict[tuple[str, str], Scheme | None]
"""By scheme and version; None for one whose content cannot be read."""


def check_versions(
    rows: Iterable[VersionRow],
    findings: Findings,
    size_standard: Callable[[Mapping[str, Any]], str] = size_standard_of,
) -> Versions:
    """Compare each version with the hash of its content; ``size_standard`` gives the text that belongs to it."""
    found: Versions = {}
    for row in rows:
        place = (row.scheme, row.version)
        found[place] = None
        try:
            actual = version_of(row.content, size_standard(row.content))
            scheme = found[place] = scheme_of(row.content, row.version)
        except (SchemeError, KeyError, TypeError, AttributeError, ValueError) as error:
            findings.differ(f"scheme_versions {row.scheme} {row.version}: content: cannot be read: {error!r}")
            continue
        if actual != row.version:
            findings.differ(f"scheme_versions {row.scheme} {row.version}: content: its SHA-256 is {actual}")
        elif row.content["id"] != row.scheme:
            findings.differ(f"scheme_versions {row.scheme} {row.version}: scheme: the content says {row.content['id']}")
        elif content_of(scheme) != row.content or not _ids_are_keys(row.content):
            findings.differ(f"scheme_versions {row.scheme} {row.version}: content: is not as a version is kept")
    return found


def _ids_are_keys(content: Mapping[str, Any]) -> bool:
    """What the hash leaves out because a key says it already."""
    parts = [*content["rules"].items(), *content["organisations"].items()]
    return all(part["id"] == key for key, part in parts)
