"""Forms are taken from our own pages only: the check of where an unsafe request was made (CSRF)."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.api.problems import Present, Problem

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
API: Final = "/v1/"


class OwnPages:
    """Turn away unsafe requests from elsewhere; the API is left alone, for it takes no cookie."""

    def __init__(self, app: ASGIApp, present: Present, public_url: str = "") -> None:
        self.app, self.present, self.public_host = app, present, urlsplit(public_url).netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        checked = scope["type"] == "http" and scope["method"] not in SAFE and not scope["path"].startswith(API)
        if checked and not is_from_own_page(Headers(scope=scope), self.public_host):
            answer = await self.present(Request(scope, receive), Problem(403, "signin", "other_site"))
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


def is_from_own_page(headers: Headers, public_host: str = "") -> bool:
    """Whether the browser says that a page of ours, or the person's own hand, made a request.

    Browsers leave ``Sec-Fetch-Site`` out over plain http: there the origin's host must be the one that was asked.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    host = urlsplit(headers.get("origin") or headers.get("referer") or "").netloc
    return bool(host) and host in (headers.get("host", ""), public_host)
