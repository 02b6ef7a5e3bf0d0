"""An upload from its first byte to its place in the file: permission, size, checks, keeping, scanning."""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.auth.record import keep
from services.gateway.documents.clamd import Clamd, ScannerAway
from services.gateway.documents.files import Files, Received, TooLarge
from services.gateway.documents.formats import LARGEST_BYTES, check
from services.gateway.documents.multipart import too_large
from services.gateway.documents.names import plain_name
from services.gateway.documents.queries import DocumentView, may_prepare, may_see
from services.gateway.documents.refused import NotTaken
from services.gateway.tables import documents
from shared.messaging.service import Service

log = logging.getLogger("riskpool.gateway")
UPLOAD = "documents.upload"
SCAN_AGAIN_SECONDS = 30.0
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Documents:
    """The room of uploaded files: where they lie, and who scans them."""

    def __init__(self, service: Service, files: Files | None = None, clamd: Clamd | None = None) -> None:
        self.service = service
        self.files = files or Files.from_environment()
        self.clamd = clamd or Clamd.from_environment()

    async def may_upload(self, caller: Caller, about: str) -> None:
        """Problem 403 or 404 unless the caller may add documents to that case or loan."""
        needs(caller, UPLOAD)
        async with self.service.engine.connect() as connection:
            if not await may_see(connection, caller, about) and not await may_prepare(connection, caller, about):
                raise Problem(404, "unknown", "document_about", {"about": about[:64]}, scheme=caller.scheme)

    async def upload(
        self, caller: Caller, about: str, kind: str, name: str, chunks: AsyncIterator[bytes]
    ) -> DocumentView:
        """Take a file in; the same file of the same kind again is the first one. Problem says why it is not taken."""
        await self.may_upload(caller, about)
        if not _KIND.fullmatch(kind):
            raise malformed_field("kind", "must be a-z, 0-9 and _", caller.scheme)
        try:
            name = plain_name(name)
            received = await self.files.receive(chunks, LARGEST_BYTES)
        except TooLarge:
            await self._note(caller, about, "too_large")
            raise too_large(LARGEST_BYTES) from None
        except NotTaken as error:
            raise not_taken(caller, name, error) from None
        try:
            media_type = await asyncio.to_thread(check, received.path, name)
            await self.files.keep(received)
        except NotTaken as error:
            await self._note(caller, about, "malformed")
            raise not_taken(caller, name, error) from None
        finally:
            received.drop()
        row = await self._record(caller, about, kind, name, media_type, received)
        return await self._scanned(caller, row) if row.state == "quarantined" else _view(row)

    async def _record(
        self, caller: Caller, about: str, kind: str, name: str, media_type: str, received: Received
    ) -> Row[Any]:
        same = select(documents).where(
            documents.c.scheme == caller.scheme.id,
            documents.c.about == about,
            documents.c.kind == kind,
            documents.c.sha256 == received.sha256,
            documents.c.organisation == caller.organisation,
            documents.c.state != "refused",
        )
        now = self.service.clock.now()
        values = {
            "id": f"{now:%Y%m%d%H%M%S}-{secrets.token_hex(8)}",
            "scheme": caller.scheme.id,
            "about": about,
            "kind": kind,
            "name": name,
            "media_type": media_type,
            "sha256": received.sha256,
            "size_bytes": received.size_bytes,
            "state": "quarantined" if self.clamd else "ready",
            "organisation": caller.organisation,
            "account": caller.account,
            "uploaded_at": now,
        }
        async with self.service.engine.begin() as connection:
            row: Row[Any] | None = (await connection.execute(same.limit(1))).one_or_none()
            if row is None:
                await keep(connection, caller, self.service.clock.now(), UPLOAD, about)
                row = (await connection.execute(insert(documents).values(values).returning(documents))).one()
            return row

    async def _scanned(self, caller: Caller, row: Row[Any]) -> DocumentView:
        row, virus = await self._scan(row)
        if virus is not None:
            raise not_taken(caller, row.name, NotTaken("virus", virus))
        return _view(row)

    async def _scan(self, row: Row[Any]) -> tuple[Row[Any], str | None]:
        """The row after the scanner's verdict, and the virus; without a verdict it stays in quarantine."""
        assert self.clamd is not None
        try:
            virus = await self.clamd.scan(self.files.path(row.sha256))
        except ScannerAway as error:
            log.warning("clamd gave no verdict", extra={"document": row.id, "error": str(error)[:200]})
            return row, None
        if virus is not None:
            log.warning("a virus was found", extra={"document": row.id, "virus": virus[:200]})
        state = "ready" if virus is None else "refused"
        changed = update(documents).where(documents.c.id == row.id).values(state=state).returning(documents)
        async with self.service.engine.begin() as connection:
            return (await connection.execute(changed)).one(), virus

    async def scan_waiting(self) -> int:
        """Scan what waits in quarantine, once; how many got a verdict."""
        waiting = select(documents).where(documents.c.state == "quarantined").order_by(documents.c.id)
        async with self.service.engine.connect() as connection:
            rows = (await connection.execute(waiting)).all()
        after = [(await self._scan(row))[0] for row in rows]
        return sum(row.state != "quarantined" for row in after)

    async def keep_scanning(self) -> None:
        """Scan what the scanner was away for, for ever."""
        while self.clamd is not None:
            await asyncio.sleep(SCAN_AGAIN_SECONDS)
            try:
                await self.scan_waiting()
            except Exception:
                log.exception("documents in quarantine were not scanned")

    async def _note(self, caller: Caller, about: str, rule: str) -> None:
        async with self.service.engine.begin() as connection:
            await keep(connection, caller, self.service.clock.now(), UPLOAD, about, "refused", rule=rule)


def not_taken(caller: Caller, name: str, error: NotTaken) -> Problem:
    """The refusal of a file, with what to do."""
    figures = {"name": name[:200], "what": error.what}
    return Problem(422, "malformed", f"document_{error.reason}", figures, scheme=caller.scheme)


def _view(row: Row[Any]) -> DocumentView:
    return DocumentView.model_validate(dict(row._mapping))
