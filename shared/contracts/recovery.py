"""Events of the recovery service: shares, remittances, write-offs and clawbacks of compensated loans."""

from typing import ClassVar

from shared.contracts.base import Day, Event, Fen, Id, Name, Number, Rate, Text


class RecoveryEvent(Event):
    """An event about one compensated loan's recovery."""

    service: ClassVar[str] = "recovery"
    uscc: Number
    loan_no: Number


class RecoveryOpened(RecoveryEvent):
    """Recovery opened with the first settled compensation."""

    payee: Id
    lender: Id
    guarantor: Id | None = None
    verified_principal: Fen
    ratio: Rate
    opened_on: Day


class CompensationCredited(RecoveryEvent):
    """A settled compensation counts from now on in the paid ratio; ``paid`` is the total so far."""

    disbursement_id: Number
    amount: Fen
    paid: Fen


class RecoveryShared(RecoveryEvent):
    """A recovered amount was shared; the pool's share is due by ``due_on``.

    ``base`` is what the paid ratio was applied to: the amount, less costs where the scheme deducts them.
    """

    amount: Fen
    base: Fen = 0
    pool_share: Fen
    institution_share: Fen
    costs: Fen = 0
    collected_on: Day
    due_on: Day
    by: Id


class RecoveryRemitted(RecoveryEvent):
    """The custodian confirmed money for the pool's share."""

    amount: Fen
    remitted: Fen
    bank_ref: Number
    received_on: Day


class RemittanceOverdue(RecoveryEvent):
    """What of a share was not remitted in time; ``share_no`` counts the loan's shares from one."""

    amount: Fen
    due_on: Day
    share_no: int = 0


class WriteOffRequested(RecoveryEvent):
    """An institution confirmed a net loss on a valid ground."""

    ground: Name
    ruling_no: Name
    ruled_on: Day
    by: Id


class WriteOffApproval(RecoveryEvent):
    """One of the two approvals of a write-off."""

    by: Id


class WriteOffApproved(RecoveryEvent):
    """Both approved: the net loss is written off; later recoveries are still shared."""

    amount: Fen


class WriteOffRefused(RecoveryEvent):
    """A write-off was refused; the institution may propose it again."""

    by: Id
    reason: Text = ""


class ClawbackDemanded(RecoveryEvent):
    """A sanctioned institution must return what of the compensation is not yet returned."""

    institution: Id
    amount: Fen


class ClawbackReturned(RecoveryEvent):
    """The custodian confirmed clawed-back money."""

    amount: Fen
    returned: Fen
    bank_ref: Number


class RecoveryClosed(RecoveryEvent):
    """The pool has back all it paid."""

    remitted: Fen
    clawed_back: Fen


class ReportFiled(Event):
    """DRC reported recoveries to the district government."""

    service: ClassVar[str] = "recovery"
    kind: Text
    period: Number
    by: Id
    filed_on: Day
    document: Text | None = None
