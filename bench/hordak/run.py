"""django-hordak: one balanced transaction of two legs a posting, so many of them in a database transaction."""

import os
import sys
from collections.abc import Sequence

import django
from django.conf import settings
from timing import measure

ORACLE = """
select count(*), coalesce(sum(fen), 0)::bigint from (
    select sum(debit * 100) as fen from hordak_leg group by transaction_id
    having count(*) = 2 and sum(debit) = sum(credit)
) as balanced
"""
CONNECTION = {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"], "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"],
}  # fmt: skip


def main() -> None:
    """Post with ``transfer_to``, or after ``--bulk`` with Django's bulk_create, as the library's own benchmark does."""
    bulk = sys.argv[1] == "--bulk"
    if bulk:
        del sys.argv[1]
    settings.configure(
        DATABASES={"default": CONNECTION}, INSTALLED_APPS=["django.contrib.contenttypes", "mptt", "hordak"],
        USE_TZ=True, TIME_ZONE="UTC", DEFAULT_CURRENCY="CNY", HORDAK_CURRENCIES=["CNY"], HORDAK_INTERNAL_CURRENCY="CNY",
    )  # fmt: skip
    django.setup()
    from django.core.management import call_command
    from django.db.transaction import atomic
    from hordak.models import Account, AccountType, Leg, Transaction
    from moneyed import Money

    call_command("migrate", verbosity=0)
    fund, bank = (
        Account.objects.create(name=name, type=kind, currencies=["CNY"])
        for name, kind in (("fund", AccountType.liability), ("bank", AccountType.asset))
    )

    def one_by_one(amounts: Sequence[int]) -> None:
        with atomic():
            for amount_fen in amounts:
                fund.transfer_to(bank, Money(amount_fen, "CNY") / 100, description="posting")

    def all_at_once(amounts: Sequence[int]) -> None:
        transactions, legs = [], []
        for amount_fen in amounts:
            transaction, amount = Transaction(description="posting"), Money(amount_fen, "CNY") / 100
            transactions.append(transaction)
            legs += [Leg(transaction=transaction, account=fund, credit=amount)]
            legs += [Leg(transaction=transaction, account=bank, debit=amount)]
        with atomic():
            Transaction.objects.bulk_create(transactions)
            Leg.objects.bulk_create(legs)

    if bulk:
        measure("hordak_bulk", all_at_once, ORACLE, (1000, 5000))
    else:
        measure("hordak", one_by_one, ORACLE, (1, 10, 100))


if __name__ == "__main__":
    main()
