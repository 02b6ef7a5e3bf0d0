"""eventsourcing: one event a posting on one aggregate kept in memory, saved a batch at a time."""

import itertools
import os
from collections.abc import Sequence

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from timing import measure

ORACLE = """
select count(*), coalesce(sum((convert_from(state, 'UTF8')::json ->> 'amount_fen')::bigint), 0)::bigint
from application_events where topic like '%Fund.Posted'
"""


class Fund(Aggregate):
    """A fund whose balance is the sum of its postings."""

    def __init__(self) -> None:
        self.balance_fen = 0

    class Posted(Aggregate.Event):
        """One posting."""

        amount_fen: int
        reference: str

        def apply(self, aggregate: "Fund") -> None:
            aggregate.balance_fen += self.amount_fen


def main() -> None:
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "yes",
        **{f"POSTGRES_{name}": os.environ[f"PG{libpq}"] for name, libpq in (
            ("DBNAME", "DATABASE"), ("HOST", "HOST"), ("PORT", "PORT"), ("USER", "USER"), ("PASSWORD", "PASSWORD")
        )},
    }  # fmt: skip
    numbers = itertools.count(1)
    with Application(settings) as application:
        fund = Fund()
        application.save(fund)

        def post(amounts: Sequence[int]) -> None:
            for amount_fen in amounts:
                fund.trigger_event(Fund.Posted, amount_fen=amount_fen, reference=f"posting-{next(numbers)}")
            application.save(fund)

        measure("eventsourcing", post, ORACLE, (500, 1000, 5000))


if __name__ == "__main__":
    main()
