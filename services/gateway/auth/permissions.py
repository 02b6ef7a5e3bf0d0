"""What each role of each kind of organisation may do: one static table, checked before any service is asked."""

from functools import cache
from typing import Final

from services.gateway.api.problems import Problem
from services.gateway.auth.callers import AGENCIES, INSTITUTIONS, Caller
from services.gateway.queries.organisations import OPERATOR
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS

ROLES: Final = ("officer", "head", "auditor", "admin")
KINDS: Final = (*AGENCIES, *INSTITUTIONS, OPERATOR)
NO_AGREEMENT: Final = ""
# Decisions that bind the fund or the government: an officer prepares them, a head takes them.
BUS: Final = "bus.manage"
PARKED: Final = "parked.settle"
HEADS_ONLY: Final = frozenset(
    {
        BUS,
        "ApproveFee",
        "ApproveSubsidy",
        "ApproveWriteOff",
        "BarEnterprise",
        "ConsentClaimBatch",
        "ConsentHighRisk",
        "DecideTie",
        "IssuePayoutNotice",
        "SanctionInstitution",
        "SignAgreement",
        "SubmitClaimBatch",
        "VetoEnterprise",
    }
)
ADMINISTRATION: Final = frozenset({"page.users", "page.tokens", "users.manage", "tokens.manage"})
EVERYBODY: Final = frozenset({"page.worklist", "page.scheme", "page.permissions"})
_CASES = ("cases", "case", "financing", "loans", "documents", "reports", "receipts")
_SEATED = (*_CASES, "review", "claims", "recoveries")
_AGENCY = (*_SEATED, "pool", "ledger", "obligations", "departments", "institutions", "audit")
PAGES: Final = {
    **dict.fromkeys(AGENCIES, _AGENCY),
    **dict.fromkeys(("bank", "lender", "guarantor"), (*_SEATED, "uploads")),
    "insurer": (*_CASES, "uploads"),
    "custodian": ("pool", "ledger", "obligations", "documents", "reports", "receipts", "uploads"),
    OPERATOR: ("ops", "parked"),
    NO_AGREEMENT: (),
}
REPORTS: Final = {
    "custodian_half_year": (*AGENCIES[:3], "custodian"),
    "custodian_annual": (*AGENCIES[:3], "custodian"),
    "compensation_request": AGENCIES[:3],
    "recovery_half_year": AGENCIES[:3],
    "department_quarter": AGENCIES,
    "institution_statement": ("drc", *INSTITUTIONS),
}


def _reading(kind: str) -> frozenset[str]:
    pages = {f"page.{name}" for name in PAGES[kind]}
    return EVERYBODY | pages | {f"reports.{name}" for name, kinds in REPORTS.items() if kind in kinds}


def _deciding(kind: str) -> frozenset[str]:
    commands = {name for name, command in COMMANDS.items() if kind in command.by}
    reported = {name for name, event in PARTNER_EVENTS.items() if kind in event.senders}
    others = {"documents.upload"} if kind in AGENCIES + INSTITUTIONS else set()
    own = {"drc": {BUS}, OPERATOR: {PARKED}}.get(kind, set())
    return frozenset(commands | reported | others | own)


def _of_role(kind: str, role: str) -> frozenset[str]:
    match role:
        case "officer":
            return _reading(kind) | (_deciding(kind) - HEADS_ONLY)
        case "head":
            return _reading(kind) | _deciding(kind)
        case "auditor":
            return _reading(kind)
    return EVERYBODY | ADMINISTRATION


TABLE: Final = {(kind, role): _of_role(kind, role) for kind in (*KINDS, NO_AGREEMENT) for role in ROLES}
ACTIONS: Final = tuple(sorted(frozenset().union(*TABLE.values())))


def may(caller: Caller, action: str) -> bool:
    """Whether a caller's organisation and roles allow an action; not yet whether this case is the caller's."""
    return action in _allowed(caller.kind, caller.roles)


@cache
def _allowed(kind: str, roles: frozenset[str]) -> frozenset[str]:
    return frozenset[str]().union(*(TABLE[kind, role] for role in roles))


def needs(caller: Caller, action: str) -> None:
    """Problem 403 unless the caller may: it says who in the caller's own organisation could, or that nobody could."""
    if may(caller, action):
        return
    able = [role for role in ROLES if action in TABLE[caller.kind, role]]
    if not able:
        kinds = ", ".join(kind for kind in KINDS if any(action in TABLE[kind, role] for role in ROLES))
        reason = "page" if action.startswith(("page.", "reports.")) else ""
        raise Problem(403, "permission", reason, {"allowed": kinds}, scheme=caller.scheme)
    reason = "read_only" if caller.roles == {"auditor"} and able != ["admin"] else f"{able[0]}_only"
    raise Problem(403, "permission", reason, scheme=caller.scheme)
