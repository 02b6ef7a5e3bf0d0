"""DBOS: one durable workflow with one transaction step a posting, so many workflows in flight."""

import os
from collections.abc import Sequence

import psycopg
from dbos import DBOS, SQLAlchemyDatasource
from sqlalchemy import URL, text
from timing import measure

ORACLE = "select count(*), coalesce(sum(amount_fen), 0)::bigint from posting"
TABLE = "create table posting (id bigint generated always as identity primary key, amount_fen bigint not null)"
INSERT = text("insert into posting (amount_fen) values (:amount_fen)")
THREADS = 8


def main() -> None:
    with psycopg.connect() as connection:
        connection.execute(TABLE)
    host, user, password, database = (os.environ[f"PG{name}"] for name in ("HOST", "USER", "PASSWORD", "DATABASE"))
    url = URL.create("postgresql+psycopg", user, password, host, int(os.environ["PGPORT"]), database)
    address = url.render_as_string(hide_password=False)
    pool = {"pool_size": THREADS, "max_overflow": 0, "pool_pre_ping": False}
    DBOS(config={
        "name": "bench", "system_database_url": address, "db_engine_kwargs": pool, "log_level": "ERROR",
        "max_executor_threads": THREADS, "run_admin_server": False,
    })  # fmt: skip
    ledger = SQLAlchemyDatasource.create(address, pool)

    @ledger.transaction(isolation_level="READ COMMITTED")
    def write(amount_fen: int) -> None:
        ledger.sql_session().execute(INSERT, {"amount_fen": amount_fen})

    @DBOS.workflow()
    def posting(amount_fen: int) -> None:
        write(amount_fen)

    def post(amounts: Sequence[int]) -> None:
        if len(amounts) == 1:
            posting(amounts[0])
            return
        for handle in [DBOS.start_workflow(posting, amount_fen) for amount_fen in amounts]:
            handle.get_result()

    DBOS.launch()
    measure("dbos", post, ORACLE, (1, 16, 64))
    DBOS.destroy()


if __name__ == "__main__":
    main()
