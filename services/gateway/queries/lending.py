"""How an institution's loans went: numbers and principal by status, and the share that went bad."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.projections.tables import loans


@dataclass(frozen=True)
class Lending:
    """Covered loans of an institution; ``bad`` are those that were claimed."""

    number: int
    principal_fen: int
    bad: int
    bad_principal_fen: int

    @property
    def ratio(self) -> Decimal | None:
        """Bad loans among all, by number; None without a loan."""
        return Decimal(self.bad) / self.number if self.number else None

    @property
    def principal_ratio(self) -> Decimal | None:
        """Bad loans among all, by principal; None without a loan."""
        return Decimal(self.bad_principal_fen) / self.principal_fen if self.principal_fen else None


async def lending(connection: AsyncConnection, scheme: str, institution: str) -> Lending:
    """Of the loans that an institution lent, guaranteed or insured."""
    is_bad = loans.c.claim_status.is_not(None)
    query = select(
        func.count().label("number"),
        func.coalesce(func.sum(loans.c.principal_fen), 0).label("principal_fen"),
        func.count().filter(is_bad).label("bad"),
        func.coalesce(func.sum(loans.c.principal_fen).filter(is_bad), 0).label("bad_principal_fen"),
    ).where(
        loans.c.scheme == scheme,
        loans.c.lender.is_not(None),
        or_(loans.c.lender == institution, loans.c.guarantor == institution, loans.c.insurer == institution),
    )
    row = (await connection.execute(query)).one()
    return Lending(row.number, int(row.principal_fen), row.bad, int(row.bad_principal_fen))
