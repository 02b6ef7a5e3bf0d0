"""Institutions: their agreements and sanctions."""

from sqlalchemy import update

from services.gateway.projections.tables import agreements, sanctions
from services.gateway.projections.writing import Projected
from shared.contracts import review


async def agreement_signed(at: Projected, event: review.AgreementSigned) -> None:
    """The newest agreement of an institution replaces its earlier one."""
    await at.upsert(
        agreements,
        {"institution": event.institution},
        {
            "kind": event.kind,
            "name": event.name,
            "valid_from": event.valid_from,
            "valid_to": event.valid_to,
            "products": list(event.products),
            "fee_rate": event.fee_rate,
            "guarantor_shares": event.model_dump(mode="json", include={"guarantor_shares"})["guarantor_shares"],
            "terms": event.terms.model_dump(mode="json") if event.terms else None,
            "terminated": False,
        },
    )


async def sanctioned(at: Projected, event: review.InstitutionSanctioned) -> None:
    """A sanction on an institution (sanction.institution, 四(二)), which may end the agreement it has."""
    if event.measure == "terminate":
        theirs = (agreements.c.scheme == at.scheme, agreements.c.institution == event.institution)
        await at.connection.execute(update(agreements).where(*theirs).values(terminated=True))
    await at.insert(
        sanctions,
        [
            {
                "event_id": at.envelope.id,
                "institution": event.institution,
                "measure": event.measure,
                "reduction": event.reduction,
                "loan_nos": list(event.loan_nos),
                "reason": event.reason,
                "sanctioned_on": event.sanctioned_on,
            }
        ],
    )
