"""A bundle checked with nothing but itself: everything that `riskpool audit` checks and that needs no database."""

import json
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from riskpool.proof import bundle
from riskpool.proof.bundle import Bundle
from riskpool.proof.chains import Events, Journal
from riskpool.proof.findings import Findings
from riskpool.proof.scheme import HeadRow, SchemeCheck
from riskpool.proof.versions import VersionRow, check_versions
from shared.contracts.registry import SERVICES

AT_ONCE = 1000
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
WORTH_A_PROCESS = 20_000
"""Events, from which on the schemes are shared out to processes."""


def verify(
    path: Path, keys: Collection[str] = (), closes: Collection[str] = (), processes: int = 2
) -> list[Findings]:
    """Check a bundle, service by service; ``keys`` are the public keys, in hexadecimal, that closes may be signed with.

    ``closes`` are digests of closes that were handed out, which must be there. NoBundle when the file is none. The
    first of the findings, ``bundle``, are those of the file itself.
    """
    content = Bundle(path)
    whole = Findings("bundle")
    for words in content.wrong_members():
        whole.differ(words)
    parts = [(path, *part, keys) for part in _parts(content, whole)]
    events = sum(content.members.get(f"{s}/{n}/{bundle.EVENTS}", {}).get("lines", 0) for _, s, n, _ in parts)
    if events > WORTH_A_PROCESS and len(parts) > 1:
        with ProcessPoolExecutor(processes) as pool:
            found = list(pool.map(_check, *zip(*parts, strict=True)))
    else:
        found = [_check(*part) for part in parts]
    by_service = {name: Findings(name) for name in (*SERVICES, "gateway")}
    for name, one in by_service.items():
        _versions(content, name, one)
    for findings in found:
        by_service.setdefault(findings.service, Findings(findings.service)).add(findings)
    _closes(content, closes, by_service["pool"])
    return [whole, *by_service.values()]


def _parts(content: Bundle, whole: Findings) -> list[tuple[str, str]]:
    """Every service and scheme of which there is a head, an event or a journal."""
    found = set(_heads(content, whole))
    for name in content.file.namelist():
        if name.count("/") == 2:
            service, scheme, _ = name.split("/")
            found.add((service, scheme))
    return sorted(found)


def _objects(content: Bundle, name: str, findings: Findings) -> list[dict[str, Any]]:
    try:
        return list(content.objects(name))
    except UNREADABLE as error:
        findings.differ(f"{name}: cannot be read: {error!r}")
        return []


def _heads(content: Bundle, findings: Findings) -> dict[tuple[str, str], HeadRow]:
    found = {}
    for row in _objects(content, bundle.HEADS, findings):
        try:
            hashes = [bytes.fromhex(row[name]) for name in ("sha256", "rows_sha256")]
            if [one.hex() for one in hashes] != [row["sha256"], row["rows_sha256"]]:
                raise ValueError("a hash is written in small letters")
            head = HeadRow(row["version"], row["position"], hashes[0], row["rows"], hashes[1])
            found[row["service"], row["scheme"]] = head
        except UNREADABLE as error:
            findings.differ(f"{bundle.HEADS} {row}: cannot be read: {error!r}")
    return found


def _versions(content: Bundle, service: str, findings: Findings) -> Any:
    rows = [
        VersionRow(str(row.get("scheme")), str(row.get("version")), row.get("content", {}))
        for row in _objects(content, f"{service}/{bundle.VERSIONS}", findings)
    ]
    return check_versions(
        rows, findings, lambda one: content.text(f"size_standards/{one['settings']['size_standard']['value']}.csv")
    )


def _check(path: Path, service: str, scheme: str, keys: Collection[str]) -> Findings:
    """One service's events of one scheme, with the journal beside them."""
    content, findings, place = Bundle(path), Findings(service), f"{service}/{scheme}"
    versions = _versions(content, service, Findings(service))
    check = SchemeCheck(findings, scheme, versions, keys)
    try:
        journal = content.lines(f"{place}/{bundle.JOURNAL}")
        links = content.lines(f"{place}/{bundle.CHAIN}")
        for payloads in content.chunks(f"{place}/{bundle.EVENTS}", AT_ONCE):
            expected = check.events(Events.of_lines(_take(links, len(payloads)), payloads))
            check.journal(expected, Journal.of_lines(_take(journal, len(expected))))
        while left := _take(journal, AT_ONCE):
            check.journal([], Journal.of_lines(left))
        if next(links, None) is not None:
            findings.differ(f"{bundle.CHAIN} {scheme}: has more lines than {bundle.EVENTS}")
        check.finish(_heads(content, Findings(service)).get((service, scheme)))
    except UNREADABLE as error:
        findings.differ(f"{place} after position {check.position}: cannot be read: {error!r}")
    return findings


def _take(lines: Any, most: int) -> list[bytes]:
    return [line for _, line in zip(range(most), lines, strict=False)]


def _closes(content: Bundle, handed_out: Collection[str], findings: Findings) -> None:
    """``closes.jsonl`` and the public key repeat what the pool's events say, and what was handed out is among them."""
    closes = _objects(content, bundle.CLOSES, findings)
    for missing in sorted(set(handed_out) - {one.get("digest") for one in closes}):
        findings.differ(f"{bundle.CLOSES}: has no close {missing}")
    told = [json.dumps(one, sort_keys=True) for one in closes]
    found: dict[str, str] = {}
    try:
        for name in content.file.namelist():
            if name.startswith("pool/") and name.endswith(bundle.EVENTS):
                for payload in content.lines(name):
                    if b'"type":"riskpool.BooksClosed.v1"' in payload:
                        close = json.loads(payload)["data"]
                        found[json.dumps(close, sort_keys=True)] = f"{close['public_key']}\n"
        if sorted(told) != sorted(found):
            findings.differ(f"{bundle.CLOSES}: is not what the pool's events say")
        if content.text(bundle.KEY) not in ({found.get(told[-1])} if told else {"\n"}):
            findings.differ(f"{bundle.KEY}: is not the key of the last close")
    except UNREADABLE as error:
        findings.differ(f"{bundle.CLOSES}: cannot be compared with the events: {error!r}")
