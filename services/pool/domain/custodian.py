"""What the custodian says of transfers: settled with a bank reference, or returned."""

from datetime import date

from services.pool.domain.disbursement import Disbursement
from services.pool.domain.fund import Fund
from services.pool.domain.journal import Journal
from services.pool.domain.payout import advance
from services.pool.policy import PoolPolicy
from shared.contracts.base import made
from shared.contracts.partners import TransferReturned, TransferSettled
from shared.contracts.pool import CompensationSettled, DisbursementReturned, FeeSettled, PoolEvent, SubsidySettled
from shared.decisions import Accepted, Decision, Refusal
from shared.money import format_yuan


def decide_settlement(
    fund: Fund | None, disbursement: Disbursement | None, settled: TransferSettled, policy: PoolPolicy, today: date
) -> Decision:
    """An instructed disbursement is settled by the custodian's bank reference (pool.custodian, 三(六))."""
    if disbursement is None:
        return Refusal("unknown", "disbursement", {"disbursement_id": settled.disbursement_id})
    if disbursement.status == "settled" and disbursement.bank_ref == settled.bank_ref:
        return Accepted(duplicate=True)
    journal = Journal(fund, policy, today)
    if refusal := _not_settled(journal.fund, disbursement, settled, today):
        return refusal
    journal.add(_settled(journal, disbursement, settled))
    advance(journal)
    return journal.accepted()


def _not_settled(fund: Fund, disbursement: Disbursement, settled: TransferSettled, today: date) -> Refusal | None:
    figures = {
        "disbursement_id": disbursement.id, "bank_ref": disbursement.bank_ref or "", "date": str(settled.settled_on),
        "today": str(today), "instructed_on": str(disbursement.instructed_on),
        "amount": format_yuan(disbursement.amount_fen), "cash": format_yuan(fund.cash_fen),
    }
    if disbursement.status != "instructed":
        return Refusal("pool.custodian", disbursement.status, figures)
    if settled.settled_on > today:
        return Refusal("pool.custodian", "future", figures)
    if settled.settled_on < disbursement.instructed_on:
        return Refusal("pool.custodian", "early", figures)
    if disbursement.amount_fen > fund.cash_fen:
        return Refusal("pool.custodian", "overdrawn", figures)
    return None


def _settled(journal: Journal, disbursement: Disbursement, settled: TransferSettled) -> PoolEvent:
    item, on, figures = disbursement.item, journal.on, journal.figures
    number, amount, bank_ref = disbursement.id, disbursement.amount_fen, settled.bank_ref
    why = journal.policy.why("pool.custodian", bank_ref=bank_ref, settled_on=str(settled.settled_on))
    if item.kind == "compensation":
        return made(
            CompensationSettled, on=on, fund=figures, why=why, uscc=item.uscc, loan_no=item.loan_no,
            disbursement_id=number, amount=amount, bank_ref=bank_ref, settled_on=settled.settled_on, payee=item.payee,
            lender=item.lender, guarantor=item.guarantor, recommender=item.recommender,
            verified_principal=item.verified_principal, ratio=item.ratio,
        )
    if item.kind == "subsidy":
        return made(
            SubsidySettled, on=on, fund=figures, why=why, uscc=item.uscc, loan_no=item.loan_no,
            policy_no=item.policy_no, disbursement_id=number, amount=amount, bank_ref=bank_ref,
            settled_on=settled.settled_on,
        )
    return made(
        FeeSettled, on=on, fund=figures, why=why, year=item.year or 0, disbursement_id=number, amount=amount,
        bank_ref=bank_ref, settled_on=settled.settled_on,
    )


def decide_return(
    fund: Fund | None, disbursement: Disbursement | None, returned: TransferReturned, policy: PoolPolicy, today: date
) -> Decision:
    """A returned transfer restores balance and counter and goes back to the head of the queue (pool.custodian, 三(六)).

    It waits there, and blocks nobody, until a payout notice or a restart frees it: at once it would come back again.
    """
    if disbursement is None:
        return Refusal("unknown", "disbursement", {"disbursement_id": returned.disbursement_id})
    if disbursement.status == "returned" and disbursement.returned_for == returned.reason:
        return Accepted(duplicate=True)
    if disbursement.status != "instructed":
        figures = {"disbursement_id": disbursement.id, "bank_ref": disbursement.bank_ref or ""}
        return Refusal("pool.custodian", disbursement.status, figures)
    journal = Journal(fund, policy, today)
    item = disbursement.item
    why = policy.why("pool.custodian", amount=format_yuan(disbursement.amount_fen), reason=returned.reason)
    journal.add(
        made(
            DisbursementReturned, on=today, fund=journal.figures, why=why,
            disbursement_id=disbursement.id, kind=item.kind, uscc=item.uscc, loan_no=item.loan_no,
            policy_no=item.policy_no, year=item.year, amount=disbursement.amount_fen, reason=returned.reason, item=item,
        )
    )
    advance(journal)
    return journal.accepted()
