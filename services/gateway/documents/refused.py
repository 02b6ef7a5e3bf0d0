"""Why a file is not taken; each reason has its sentence in shared/scheme/refusals/documents.toml."""

from typing import Literal

Reason = Literal[
    "type", "content", "empty", "name", "active", "macro", "bomb", "encrypted", "external", "embedded", "structure",
    "virus",
]  # fmt: skip


class NotTaken(Exception):
    """A file that the checks refuse; ``what`` is the part that was found."""

    def __init__(self, reason: Reason, what: str = "") -> None:
        super().__init__(f"{reason} {what}".strip())
        self.reason, self.what = reason, what[:100]
