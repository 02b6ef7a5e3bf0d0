"""The scheme as it is in force: settings with clause and reading, rules, organisations, and the clauses' text."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request, Response

from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console.pieces import yuan
from services.gateway.console.shell import Shell, page_language
from services.gateway.console.words import say, word
from shared.scheme.clauses import clause_texts
from shared.scheme.refusals import Language

AMOUNTS = ("need.cap", "capital.sources")


def routes(shell: Shell) -> APIRouter:
    """``/scheme``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/scheme")
    async def scheme_page(request: Request, caller: Caller = shell.signed_in) -> Response:
        needs(caller, "page.scheme")
        language, scheme = page_language(request), caller.scheme
        shown = {key: _shown(language, key, one.value) for key, one in scheme.settings.items()}
        rules = [list(some) for _, some in groupby(scheme.rules.values(), key=lambda one: one.id.split(".")[0])]
        return await shell.page(
            request,
            caller,
            "scheme/scheme.html",
            shown=shown,
            rules=rules,
            texts=clause_texts(scheme.id),
            parts=lambda clause: [one for one in clause.split("、") if one],
            quoted_by=_quoted_by(scheme.rules),
        )

    return router


def _quoted_by(rules: Mapping[str, Any]) -> dict[str, list[str]]:
    """Which rules stand in each clause."""
    found: dict[str, list[str]] = {}
    for rule in rules.values():
        for clause in filter(None, rule.clause.split("、")):
            found.setdefault(clause, []).append(rule.id)
    return found


def _shown(language: Language, key: str, value: Any) -> str:
    """A setting's value in words; codes that have no word stay as the file has them."""
    if isinstance(value, bool):
        return say(language, "是" if value else "否")
    if isinstance(value, Mapping):
        parts = (f"{word(language, 'value', name)} {_shown(language, key, part)}" for name, part in value.items())
        return ("; " if language == "en" else "；").join(parts)
    if isinstance(value, list | tuple):
        return (", " if language == "en" else "、").join(_shown(language, key, one) for one in value)
    text = str(value)
    return yuan(text) if key in AMOUNTS and isinstance(value, str) else word(language, "value", text)
