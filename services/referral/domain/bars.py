"""The three-year bar of a dishonest enterprise and its legal representative (bar.enterprise, 四)."""

from datetime import date

from services.referral.domain.case import Case
from services.referral.policy import ReferralPolicy
from shared.calendar import add_months
from shared.contracts.base import Day, Event, Shape
from shared.contracts.commands import BarEnterprise, Person
from shared.contracts.referral import EnterpriseBarred
from shared.decisions import Accepted, Decision, Refusal


class Bar(Shape):
    """The latest bar decision on an enterprise; ``until`` is its last day."""

    uscc: str
    name: str
    legal_representative: Person
    barred_on: Day
    until: Day
    reason: str

    def holds_on(self, day: date) -> bool:
        """Whether the bar is in force on a day."""
        return self.barred_on <= day <= self.until


def bar_keys(event: Event) -> tuple[str, ...]:
    """The bar that an event changes."""
    return (event.uscc,) if isinstance(event, EnterpriseBarred) else ()


def evolve_bar(state: Bar | None, event: Event) -> Bar | None:
    """The bar after one of the service's own events."""
    if not isinstance(event, EnterpriseBarred):
        return state
    return Bar(uscc=event.uscc, name=event.name, legal_representative=event.legal_representative,
               barred_on=event.barred_on, until=event.until, reason=event.reason)


def decide_bar(
    case: Case | None, bar: Bar | None, command: BarEnterprise, today: date, policy: ReferralPolicy
) -> Decision:
    """bar.enterprise (四): DRC bars the enterprise and its legal representative for the scheme's term of years."""
    if case is None:
        return Refusal("unknown", "case", {"uscc": command.uscc})
    if bar is not None and bar.barred_on == today and bar.reason == command.reason:
        return Accepted(result={"until": bar.until.isoformat()}, duplicate=True)
    until = add_months(today, 12 * policy.bar_years)
    barred = EnterpriseBarred(
        uscc=case.uscc, name=case.application.name, legal_representative=case.application.legal_representative,
        barred_on=today, until=until, reason=command.reason,
        why=policy.why("bar.enterprise", until=until.isoformat(), years=str(policy.bar_years)),
    )
    return Accepted((barred,), {"until": until.isoformat()})
