"""How a service says that it is alive and ready, and what it shows of its outbox, its parked messages and database."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client.core import Metric
from sqlalchemy import BigInteger, ColumnElement, Label, Select, cast, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.database import MAX_OVERFLOW, POOL_SIZE
from shared.messaging.tables import outbox, parked, relayed_streams
from shared.observability.scrape import Scrape, gauge, gauges

if TYPE_CHECKING:
    from shared.messaging.service import Service

_RELAYED: Label[Any] = (
    select(func.json_object_agg(relayed_streams.c.stream, relayed_streams.c.created)).scalar_subquery().label("relayed")
)
_PARKED_BYTES = literal_column("pg_total_relation_size('parked')", BigInteger).label("parked_bytes")
_UNPUBLISHED: ColumnElement[bool] = outbox.c.published_at.is_(None)
# Ids, not rows: counting tens of millions of rows would take as long as a scrape may.
_AGAIN = func.coalesce(func.sum(relayed_streams.c.again_through - relayed_streams.c.again_from), 0)


class Health:
    """A service's /healthz, /readyz and /metrics; ``scrape`` takes more readings, ``pools`` further engines."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self.scrape = Scrape()
        self.scrape.readings["messages"] = self._messages
        self.scrape.readings["process"] = self._process
        self.pools: dict[str, AsyncEngine] = {}

    def routes(self, app: Starlette) -> None:
        """Add them to the application."""
        app.add_route("/healthz", self._healthz, include_in_schema=False)
        app.add_route("/readyz", self._readyz, include_in_schema=False)
        app.add_route("/metrics", self.scrape.answer, include_in_schema=False)

    async def backlog(self) -> dict[str, Any]:
        """``{unpublished, parked, relayed}``: outbox rows, open parked messages, when each known stream was made.

        While a stream is filled again the first is at most so many: it is 0 only when nothing waits.
        """
        async with self._service.engine.connect() as connection:
            row = (await connection.execute(_backlog(_RELAYED))).one()
        return {"unpublished": row.unpublished, "parked": row.parked, "relayed": row.relayed or {}}

    async def _messages(self) -> Iterable[Metric]:
        oldest = select(outbox.c.recorded_at).where(_UNPUBLISHED).order_by(outbox.c.id).limit(1).scalar_subquery()
        age = func.coalesce(func.extract("epoch", func.clock_timestamp() - oldest), 0)
        async with self._service.engine.connect() as connection:
            row = (await connection.execute(_backlog(age.label("age"), _PARKED_BYTES))).one()
        return (
            gauge("riskpool_outbox_unpublished", "Outbox rows not yet on the bus", row.unpublished),
            gauge("riskpool_outbox_oldest_seconds", "Age of the oldest of them, 0 without any", float(row.age)),
            gauge("riskpool_parked_messages", "Messages parked and not yet settled", row.parked),
            gauge("riskpool_parked_bytes", "Disk space of all parked messages, settled or not", row.parked_bytes),
        )

    async def _process(self) -> Iterable[Metric]:
        pools = {"writes": self._service.engine, **self.pools}
        found = {name: engine.pool for name, engine in pools.items() if isinstance(engine.pool, QueuePool)}
        states = [
            ((name, state), value)
            for name, pool in found.items()
            for state, value in (("in_use", pool.checkedout()), ("idle", pool.checkedin()))
        ]
        return (
            gauge("riskpool_ready", "1 while the service takes and answers messages", int(self._service.ready)),
            gauges("riskpool_database_connections", "Database connections of a pool", ("pool", "state"), states),
            gauges(
                "riskpool_database_connections_limit", "How many of them a pool may open", ("pool",),
                [((name,), POOL_SIZE + MAX_OVERFLOW) for name in found],
            ),
        )  # fmt: skip

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, request: Request) -> Response:
        service = self._service
        ready = service.ready and service.bus.client.is_connected
        if ready:
            try:
                async with service.engine.connect() as connection:
                    await connection.execute(text("select 1"))
            except Exception:
                ready = False
        told = {"ready": ready, "service": service.name, **({"reason": service.lost} if service.lost else {})}
        return JSONResponse(told, 200 if ready else 503)


def _backlog(*more: Label[Any]) -> Select[tuple[int, ...]]:
    new = select(func.count()).select_from(outbox).where(_UNPUBLISHED).scalar_subquery()
    unpublished = cast(new + select(_AGAIN).scalar_subquery(), BigInteger)  # a sum of bigints is numeric
    waits = select(func.count()).select_from(parked).where(parked.c.settled_at.is_(None)).scalar_subquery()
    return select(unpublished.label("unpublished"), waits.label("parked"), *more)
