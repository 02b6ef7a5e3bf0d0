"""How far a case is: the nine steps from referral to recovery, which are done, and where it stands or stopped."""

from dataclasses import dataclass
from typing import Final, Literal

from services.gateway.views import CaseView, LoanView

STEPS: Final = (
    "referred", "admitted", "panel", "rated", "pushed", "financed", "claim", "compensated", "recovery",
)  # fmt: skip
_STANDS: Final = {
    "referred": "admitted",
    "returned": "admitted",
    "admitted": "panel",
    "in_review": "panel",
    "awaiting_consent": "rated",
    "rated": "pushed",
    "pushed": "financed",
}
_STOPPED: Final = {
    "refused": "admitted",
    "withdrawn": "admitted",
    "declined": "panel",
    "vetoed": "panel",
    "exhausted": "financed",
    "closed": "pushed",
}
_CLAIMED: Final = ("claimed", "verified", "approved")
State = Literal["done", "current", "stopped", ""]


@dataclass(frozen=True)
class Step:
    """One step and how it stands; empty is still to come."""

    name: str
    state: State


def steps_of(case: CaseView, loan: LoanView | None) -> list[Step]:
    """The step bar of a case; after the loan only a default leads further."""
    at, state = _place(case, loan)
    place = STEPS.index(at)
    return [Step(name, "done" if n < place else state if n == place else "") for n, name in enumerate(STEPS)]


def _place(case: CaseView, loan: LoanView | None) -> tuple[str, State]:
    if loan is None:
        stopped = _STOPPED.get(case.status)
        return (stopped, "stopped") if stopped else (_STANDS.get(case.status, "financed"), "current")
    if loan.recovery.status != "none":
        return "recovery", "done" if loan.recovery.status == "closed" else "current"
    if loan.status == "compensated":
        return "recovery", "current"
    if loan.status == "rejected":
        return "claim", "stopped"
    return ("compensated", "current") if loan.status in _CLAIMED else ("financed", "done")
