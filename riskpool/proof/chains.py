"""Rows of a chain as bytes, many at a time, and which of them are not what their hashes say."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

NOTHING = bytes(32)
SHA256_BYTES = 32
_HEX = 64


@dataclass(frozen=True, slots=True)
class Events:
    """Events of a scheme that follow each other.

    ``prefixes`` are each one's position and moment (µs since 1970), with a space after each, as the hash takes them;
    ``digests`` are all their hashes, one after the other; ``columns`` are event id, name and subject, where the rows
    have them beside their payloads.
    """

    prefixes: Sequence[bytes]
    payloads: Sequence[bytes]
    digests: bytes
    columns: Sequence[tuple[str, str, str]] | None = None

    @classmethod
    def of_lines(cls, links: Sequence[bytes], payloads: Sequence[bytes]) -> "Events":
        """From the lines of a bundle's ``chain.txt`` and ``events.jsonl``, without their ends; what lacks is empty."""
        links = [*links, *[b""] * (len(payloads) - len(links))]
        return cls([link[:-_HEX] for link in links], payloads, _digests(links))

    def broken(self, before: bytes) -> list[int]:
        """Indexes of those whose hash is not that of the event before and their own content."""
        link = before
        made = [
            link := sha256(link + prefix + payload).digest()
            for prefix, payload in zip(self.prefixes, self.payloads, strict=True)
        ]
        if b"".join(made) == self.digests:
            return []
        return _differing(before, [p + c for p, c in zip(self.prefixes, self.payloads, strict=True)], self.digests)


@dataclass(frozen=True, slots=True)
class Journal:
    """Rows of a scheme's journal that follow each other.

    ``contents`` hold seq, event id, debit, credit, fen, effective date and moment (µs since 1970), separated by NUL as
    the hash takes them; ``digests`` are all their hashes, one after the other.
    """

    contents: Sequence[bytes]
    digests: bytes

    @classmethod
    def of_lines(cls, lines: Sequence[bytes]) -> "Journal":
        """From the lines of a bundle's ``journal.tsv``, without their ends."""
        return cls([line[: -_HEX - 1].replace(b"\t", b"\0") for line in lines], _digests(lines))

    def broken(self, before: bytes) -> list[int]:
        """Indexes of the rows whose hash is not that of the row before and their own content."""
        link = before
        made = [link := sha256(link + content).digest() for content in self.contents]
        return [] if b"".join(made) == self.digests else _differing(before, self.contents, self.digests)

    def moved_fen(self) -> dict[tuple[bytes, bytes, bytes], int]:
        """What moved in fen, by debit, credit and effective date; ValueError."""
        amounts: dict[tuple[bytes, bytes, bytes], list[bytes]] = defaultdict(list)
        for content in self.contents:
            _, _, debit, credit, fen, day, _ = content.split(b"\0")
            amounts[debit, credit, day].append(fen)
        return {place: sum(map(int, each)) for place, each in amounts.items()}


def digest_of(rows: Events | Journal, index: int) -> bytes:
    """The hash that a row has."""
    return rows.digests[SHA256_BYTES * index : SHA256_BYTES * (index + 1)]


def _digests(lines: Sequence[bytes]) -> bytes:
    """The hashes at the lines' ends, in small letters; zeros, which no row hashes to, for a line without."""
    written = b"".join([line[-_HEX:] for line in lines])
    try:
        found = bytes.fromhex(written.decode())
    except ValueError:
        found = b""
    if len(found) == SHA256_BYTES * len(lines) and found.hex().encode() == written:
        return found
    return b"".join([_digests([line]) if len(lines) > 1 else NOTHING for line in lines])


def _differing(before: bytes, contents: Sequence[bytes], digests: bytes) -> list[int]:
    """One by one, each after the hash that the row before it has: one wrong row is named once."""
    found = []
    for index, content in enumerate(contents):
        digest = digests[SHA256_BYTES * index : SHA256_BYTES * (index + 1)]
        if sha256(before + content).digest() != digest:
            found.append(index)
        before = digest
    return found
