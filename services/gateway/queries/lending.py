"""How an institution's loans went: numbers and principal, and the share of them that went bad."""

from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.institution_views import DefaultsView
from services.gateway.projections.tables import loans

_PLACES = Decimal("0.0001")


async def defaults(connection: AsyncConnection, scheme: str, institution: str) -> DefaultsView:
    """Of the covered loans that an institution lent, guaranteed or insured; claimed ones are bad (claim.classified)."""
    is_bad = loans.c.claim_status.is_not(None)
    query = select(
        func.count().label("loans"),
        func.coalesce(func.sum(loans.c.principal_fen), 0).label("principal"),
        func.count().filter(is_bad).label("defaulted"),
        func.coalesce(func.sum(loans.c.principal_fen).filter(is_bad), 0).label("defaulted_principal"),
    ).where(
        loans.c.scheme == scheme,
        loans.c.lender.is_not(None),
        or_(loans.c.lender == institution, loans.c.guarantor == institution, loans.c.insurer == institution),
    )
    row = (await connection.execute(query)).one()
    principal_fen, bad_fen = int(row.principal), int(row.defaulted_principal)
    return DefaultsView(
        loans=row.loans,
        principal=principal_fen,
        defaulted=row.defaulted,
        defaulted_principal=bad_fen,
        ratio=_share(row.defaulted, row.loans),
        principal_ratio=_share(bad_fen, principal_fen),
    )


def _share(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / whole).quantize(_PLACES, ROUND_HALF_UP) if whole else None
