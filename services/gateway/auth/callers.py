"""Who calls: an organisation by its bearer token or a person signed in for it, its kind, and what it may read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path, Request

from services.gateway.api.problems import Problem, malformed_field
from services.gateway.auth.tokens import holder_of
from services.gateway.queries.organisations import kind_of
from shared.messaging.service import Service
from shared.scheme.loader import Scheme

AGENCIES = ("drc", "finance", "government", "department", "township")
INSTITUTIONS = ("bank", "lender", "guarantor", "insurer", "custodian")
SYSTEM_ROLES = frozenset({"officer", "head"})
SchemeId = Annotated[str, Path(description="The scheme, such as `yanqing`.")]


@dataclass(frozen=True)
class Caller:
    """An organisation in one scheme; ``kind`` is empty for one that has not signed an agreement yet.

    ``account`` is the person who signed in; a bearer token stands for a system of the organisation and has none.
    """

    scheme: Scheme
    organisation: str
    kind: str
    roles: frozenset[str] = SYSTEM_ROLES
    account: str | None = None
    name: str = ""

    @property
    def is_agency(self) -> bool:
        """Agencies read everything; institutions what they take part in."""
        return self.kind in AGENCIES

    @property
    def is_institution(self) -> bool:
        """Institutions have signed an agreement; the operator of the machines is none."""
        return self.kind in INSTITUTIONS

    @property
    def party(self) -> str | None:
        """The institution whose part alone is shown, or None for an agency."""
        return None if self.is_agency else self.organisation

    def needs_agency(self) -> None:
        """Problem 403 unless an agency calls."""
        if not self.is_agency:
            raise Problem(403, "permission", "agencies_only", scheme=self.scheme)

    def needs_agency_or_own(self, institution: str) -> None:
        """Problem 403 unless an agency or this very institution calls."""
        if not (self.is_institution and institution == self.organisation):
            self.needs_agency()

    def needs_agency_or_custodian(self) -> None:
        """Problem 403 unless an agency or the custodian calls."""
        if not self.is_agency and self.kind != "custodian":
            raise Problem(403, "permission", "agencies_only", scheme=self.scheme)


def bearer_of(request: Request) -> str:
    """The token of the Authorization header; Problem 401 without one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Problem(401, "authentication", "missing", headers={"WWW-Authenticate": 'Bearer realm="riskpool"'})
    return token.strip()


def caller_dependency(service: Service) -> Callable[[Request, str], Awaitable[Caller]]:
    """The dependency that every operation of a scheme has: a valid token of that scheme."""

    async def caller(request: Request, scheme: SchemeId) -> Caller:
        token = bearer_of(request)
        async with service.engine.connect() as connection:
            holder = await holder_of(connection, token, service.clock.now())
            if holder is None:
                headers = {"WWW-Authenticate": 'Bearer realm="riskpool", error="invalid_token"'}
                raise Problem(401, "authentication", "invalid", headers=headers)
            if scheme not in service.schemes:
                raise Problem(404, "unknown", "scheme", {"id": scheme})
            if holder.scheme != scheme:
                raise Problem(403, "permission", "other_scheme", {"scheme": scheme})
            refuse_nul(request)
            kind = await kind_of(connection, service.schemes[scheme], holder.organisation)
        return Caller(service.schemes[scheme], holder.organisation, kind)

    return caller


def refuse_nul(request: Request) -> None:
    """PostgreSQL's text has no NUL, so nothing can be named by one."""
    for name, value in (*request.path_params.items(), *request.query_params.multi_items()):
        if "\0" in str(value):
            raise malformed_field(name, "must not hold a NUL character")
