"""Events of a case as sentences a person reads; an event without a sentence of its own is not told."""

from typing import Any

from riskpool.scenario.report import in_thousands

SENTENCES = {
    "EnterpriseReferred": "{recommender} refers it, as a {size} enterprise.",
    "ScreeningFindingRecorded": "{by} notes at screening: {note}.",
    "EnterpriseAdmitted": "DRC admits it: a need of {need} yuan.",
    "ReferralReturned": "DRC returns the referral for supplement: {reason}.",
    "ReferralRefused": "DRC refuses the referral: {reason}.",
    "ReferralWithdrawn": "The referral is withdrawn: {reason}.",
    "RatingRoundOpened": "DRC calls the panel together: {seats}.",
    "VoteCast": "{seat} votes {grade}.",
    "RevoteOpened": "No majority: every seat votes once more.",
    "TieDecided": "DRC decides among the leading options: {grade}.",
    "ConsentRequested": "A high result: the district government is asked for its consent.",
    "ConsentRefused": "The district government refuses its consent.",
    "EnterpriseRated": "It is rated {grade} by {decided_by}: the fund would bear {ratio} of a loss.",
    "EnterpriseDeclined": "The panel declines it.",
    "EnterpriseVetoed": "DRC vetoes it: {reason}.",
    "RatingLapsed": "The rating lapses: no loan came in time.",
    "FinancingPushed": "It is pushed to {institutions}, who have until {deadline_on}.",
    "FinancingRefused": "{institution} declines: {reason}.",
    "FinancingFailed": "The financing round failed ({cause}); failures so far: {failures}.",
    "FinancingExhausted": "Financing failed too often: the case ends.",
    "LoanCovered": "{lender} lends {principal} yuan as loan {loan_no}; the fund covers it.",
    "LoanNotCovered": "{lender} reports loan {loan_no}; it is not covered ({rule}).",
    "PrincipalRepaid": "{amount} yuan of principal is repaid; {outstanding} is left.",
    "ClaimAccepted": "The loan turns bad ({classified}): {claimant} claims for {base} yuan of principal.",
    "ClaimRefused": "A claim of {claimant} is refused ({rule}).",
    "ClaimVoteCast": "{seat} verifies the claim: {opinion}.",
    "ClaimVerified": "The claim is verified at {verified_principal} yuan.",
    "ClaimRejected": "The claim is rejected.",
    "CompensationInstructed": "The custodian is told to pay {payee} {amount} yuan.",
    "CompensationHeld": "{amount} yuan of compensation has to wait ({reason}).",
    "CompensationSettled": "The custodian has paid {amount} yuan ({bank_ref}).",
    "RecoveryOpened": "Recovery begins.",
    "RecoveryShared": "{by} recovers {amount} yuan; {pool_share} of it belongs to the fund, due on {due_on}.",
    "RecoveryRemitted": "{amount} yuan comes back into the fund.",
    "RemittanceOverdue": "{amount} yuan of the fund's share is overdue since {due_on}.",
    "WriteOffRequested": "{by} confirms a net loss ({ground}) and proposes to write it off.",
    "WriteOffApproval": "{by} approves the write-off.",
    "WriteOffApproved": "{amount} yuan is written off.",
    "WriteOffRefused": "{by} refuses the write-off.",
    "ClawbackDemanded": "{institution} has to return {amount} yuan.",
    "RecoveryClosed": "The fund has back all that it paid.",
    "EnterpriseBarred": "DRC bars it until {until}: {reason}.",
    "AnomalyReported": "{by} reports an anomaly: {note}.",
}


def sentence(event: dict[str, Any]) -> str:
    """What an event of a case's timeline says, or nothing where it has no sentence of its own."""
    name = str(event.get("type", "")).removeprefix("riskpool.").removesuffix(".v1")
    if name not in SENTENCES:
        return ""
    data = event.get("data") or {}
    return SENTENCES[name].format_map(_Words({key: _word(value) for key, value in data.items()}))


class _Words(dict[str, str]):
    """Fields by name; one that is not there reads as a dash."""

    def __missing__(self, key: str) -> str:
        return "—"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return in_thousands(str(value)) if isinstance(value, str) and value[-3:-2] == "." and len(value) > 4 else str(value)
