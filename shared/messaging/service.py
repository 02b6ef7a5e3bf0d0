"""A service put together: what it answers and takes, its relay, its health. ``app.py`` of each service declares one."""

import asyncio
import contextlib
import gc
import json
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from nats.js.errors import APIError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.applications import Starlette

from shared.aggregates import Aggregate
from shared.clock import Clock
from shared.contracts.base import Command, Event, PartnerEvent
from shared.contracts.review import AgreementSigned
from shared.database import engine_from_environment
from shared.messaging import announced, tables
from shared.messaging.backlog import make_room
from shared.messaging.binding import Binding, Subscriber
from shared.messaging.bus import Bus, connect
from shared.messaging.dispatch import Dispatch
from shared.messaging.envelope import Envelope
from shared.messaging.healing import lost_decisions, note_taken, read_again_what_is_missing
from shared.messaging.health import Health
from shared.messaging.instances import SUBJECT as INSTANCES
from shared.messaging.instances import Instance, own_name, version
from shared.messaging.intake import Intake, InTurn, telling
from shared.messaging.leading import lead_when_free
from shared.messaging.owners import Owners, unpacked
from shared.messaging.parked import Parked
from shared.messaging.progress import progress
from shared.messaging.provisioning import Consumer, ensure_consumer, ensure_stream, ingress_stream
from shared.messaging.reading import read_event
from shared.messaging.relay import Relay
from shared.messaging.unit_of_work import EVENTS, RECEIPTS, Rows, Transaction, UnitOfWork, lock
from shared.messaging.writer import Writer
from shared.observability import traces
from shared.observability.figures import LAG
from shared.observability.logs import log_as_json
from shared.scheme.loader import Scheme, content_of, load_schemes

log = logging.getLogger("riskpool.service")
Handler = Callable[[UnitOfWork, Any], Awaitable[Any]]
Project = Callable[[AsyncConnection, Sequence[tuple[Envelope, Event]]], Awaitable[None]]
WATCH_SECONDS = 5.0
PATIENCE_SECONDS = 20.0  # while the bus's nodes choose a leader anew: else no replica of any service were ready
LOST_SECONDS = 10.0
FOLDING = 7002  # the lock of the replica that takes events in their turn
MOST_YOUNG = 20_000  # objects more, before garbage is looked for: hardly any of a batch's thousands is in a circle


@dataclass
class Service:
    """What one service is made of.

    ``extend`` makes it a FastAPI with more routes (the gateway); ``all_events`` takes every service's events,
    those of each service in the order in which it recorded them (``in_turn``), and it says what it took ``beyond``
    what a service has.
    """

    name: str
    aggregates: tuple[Aggregate[Any], ...] = ()
    commands: Mapping[type[Command], Handler] = field(default_factory=dict)
    partner_events: Mapping[type[PartnerEvent], Handler] = field(default_factory=dict)
    events: Mapping[type[Event], Handler] = field(default_factory=dict)
    rows: Callable[[], Rows] | None = None
    all_events: Project | None = None
    in_turn: InTurn | None = None
    beyond: announced.Beyond | None = None
    receipts: bool = False
    extend: Callable[[Any, "Service"], None] | None = None

    clock: Clock = field(init=False)
    engine: AsyncEngine = field(init=False)
    schemes: dict[str, Scheme] = field(init=False)
    bus: Bus = field(init=False)
    writer: Writer = field(init=False)
    owners: Owners = field(init=False)
    health: Health = field(init=False)
    ready: bool = field(init=False, default=False)
    ending: bool = field(init=False, default=False)
    lost: str = field(init=False, default="")
    started: datetime = field(init=False)
    relay: Relay = field(init=False)
    taking: set[Consumer] = field(init=False, default_factory=set)
    ingresses: set[str] = field(init=False, default_factory=set)
    refused: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.health = Health(self)

    def asgi(self) -> Starlette:
        """The service as an ASGI application with /healthz, /readyz and /metrics."""
        log_as_json(self.name)
        gc.set_threshold(MOST_YOUNG, 20, 20)
        self.clock = Clock.from_environment()
        self.schemes = load_schemes()
        app = self._application()
        self.health.routes(app)
        if self.extend:
            self.extend(app, self)
        return app

    def _application(self) -> Starlette:
        if self.extend is None:
            return Starlette(lifespan=self._lifespan)
        from fastapi import FastAPI  # a third of a second at the start, which only the gateway needs

        return FastAPI(title=f"riskpool {self.name}", lifespan=self._lifespan, docs_url=None, redoc_url=None)

    def begin(self, connection: AsyncConnection) -> Transaction:
        """The shared state of one transaction."""
        return Transaction(connection, self.name, self.aggregates, self.rows)

    @contextlib.asynccontextmanager
    async def unit(self, scheme: str, time: datetime, *, sender: str = "", kind: str = "") -> AsyncIterator[UnitOfWork]:
        """A unit of work of this service's own, under the scheme's lock, committed at its end."""
        async with self.engine.begin() as connection:
            transaction = self.begin(connection)
            transaction.heads = await lock(connection, [scheme])
            yield UnitOfWork(transaction, self.schemes[scheme], time, sender or self.name, kind, "")
            await transaction.flush()

    async def progress(self) -> dict[str, Any]:
        """Whether everything published has been taken (see progress.py)."""
        return await progress(self)

    async def receipt(self, institution: str, scheme: str, event_id: str) -> Any:
        """The receipt of a partner event as a row of the table ``receipts``, or None while there is none."""
        table = tables.receipts
        query = select(table).where(
            table.c.institution == institution, table.c.scheme == scheme, table.c.event_id == event_id
        )
        async with self.engine.connect() as connection:
            return (await connection.execute(query)).one_or_none()

    # -- start and stop ------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        traces.start(self.name)  # not sooner: its thread would not live through a fork (riskpool/nursery.py)
        self.engine, self.started = engine_from_environment(), Clock.now()
        task = asyncio.create_task(self._run(), name="run")
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self.ready = False
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.engine.dispose()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception():
            log.critical("the service cannot go on", exc_info=task.exception())
            os._exit(1)

    async def _run(self) -> None:
        await self._register_schemes()
        client = await connect(f"riskpool-{self.name}", self.name, self._closed)
        self.bus = Bus(client)
        binding = Binding(self.name, self._closed)
        dispatch = Dispatch(self)
        self.writer = Writer(self.engine, self.name, self.aggregates, self.rows)
        self.owners = Owners(self._dsn(), self.name, client, lambda request: self._as_owner(dispatch, request))
        self.relay = self._relay()
        writing = asyncio.create_task(self.writer.run(), name="writer")
        writing.add_done_callback(self._ended)
        try:
            await self._until_it_works(self._provision)
            await self._until_it_works(self._until_nothing_is_lost)
            intakes = self._intakes(dispatch)
            for consumer, intake in intakes.items():
                await self._until_it_works(partial(self._read_again, consumer, intake))
                if intake.in_turn is None:
                    binding.consume(consumer, intake.take)
            if self.commands:
                binding.serve(f"commands.*.{self.name}.*", self.name, dispatch.command)
            binding.serve(f"progress.{self.name}", self.name, self._progress)
            parked = Parked(self.engine, client, lambda consumer: self._intake_of(dispatch, consumer))
            binding.serve(f"parked.{self.name}", self.name, parked.answer)
            binding.serve(INSTANCES, own_name(), self._instance)
            if self.beyond:
                binding.serve(announced.asking("*"), self.name, announced.answering(self.engine, self.beyond))
            await self._until_it_works(binding.start)
            folding = [partial(self._fold, binding.consume(c, i.take), i) for c, i in intakes.items() if i.in_turn]
            async with asyncio.TaskGroup() as group:
                group.create_task(self.relay.run(), name="relay")
                group.create_task(self._watch(binding, dispatch), name="watch")
                for fold in folding:
                    group.create_task(lead_when_free(self.engine, FOLDING, fold), name="fold")
                if self.all_events is None:
                    group.create_task(self.owners.run(), name="owners")
                    asking = announced.keep_asking(self.engine, self.bus.client, self.name)
                    group.create_task(asking, name="announced")
        finally:
            self.ending = True
            with contextlib.suppress(Exception):
                async with asyncio.timeout(10):
                    await binding.stop()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            with contextlib.suppress(Exception):
                await client.drain()

    async def _until_nothing_is_lost(self) -> None:
        """Do nothing, for nothing could be undone, while the bus knows of own decisions that the database has not."""
        while lost := await self._lost():
            self.lost = lost
            log.critical(lost)
            await asyncio.sleep(LOST_SECONDS)
        self.lost = ""

    async def _lost(self) -> str:
        """What the bus knows of own decisions that the database has not, or the gateway where the bus is new."""
        if (lost := await lost_decisions(self.engine, self.bus.js, self.name)) or self.all_events:
            return lost
        return await announced.lost_turns_on_a_new_bus(self.engine, self.bus.js, self.bus.client, self.name)

    async def _read_again(self, consumer: Consumer, intake: Intake) -> None:
        await read_again_what_is_missing(self.engine, self.bus.js, consumer, intake.consumer)

    async def _fold(self, subscriber: Subscriber, intake: Intake, holding: AsyncConnection) -> None:
        """Take events in their turn, which one replica of all does: two would each hold what follows the other's."""
        try:
            await subscriber.start()
            while True:
                await holding.execute(select(1))
                await asyncio.sleep(1)
        finally:
            await subscriber.stop()
            intake.held.end()

    async def _closed(self) -> None:
        """The client gave up, as after two refusals in a row; also before the service is ready nothing else would."""
        if not self.ending:
            log.critical("the connection to NATS closed for good: ending, to be started again")
            os._exit(1)

    async def _until_it_works(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                return await step()
            except Exception as error:
                log.warning("waiting", extra={"error": repr(error)[:300]})
                await asyncio.sleep(0.5)

    async def _register_schemes(self) -> None:
        async def write() -> None:
            async with self.engine.begin() as connection:
                for scheme in sorted(self.schemes.values(), key=lambda s: s.id):
                    row = {"scheme": scheme.id, "version": scheme.version}
                    upsert = insert(tables.schemes).values(row)
                    await connection.execute(upsert.on_conflict_do_update(index_elements=["scheme"], set_=row))
                    version = insert(tables.scheme_versions).values(**row, content=content_of(scheme))
                    await connection.execute(version.on_conflict_do_nothing())

        await self._until_it_works(write)

    # -- the bus -------------------------------------------------------------------------------------------------

    def _intakes(self, dispatch: "Dispatch") -> dict[Consumer, Intake]:
        writer = None if self.all_events else self.writer
        events = Intake(
            self.engine, "events", read_event, dispatch.event, self.begin, writer, taken=dispatch.taken,
            in_turn=self.in_turn,
        )  # fmt: skip
        intakes = {self._events_consumer(): events}
        if self.receipts:
            reading = Intake(
                self.engine, "receipts", dispatch.read_receipt, dispatch.receipt, self.begin, kind="receipt"
            )
            intakes[Consumer(RECEIPTS, self.name, ("receipts.>",))] = reading
        return intakes

    def _events_intake(self, dispatch: "Dispatch") -> Intake:
        intake = Intake(self.engine, "events", read_event, dispatch.event, self.begin, taken=dispatch.taken)
        return intake if self.all_events else replace(intake, writer=self.writer, owners=self.owners)

    def _partner_intake(self, dispatch: "Dispatch", institution: str) -> Intake:
        return Intake(
            self.engine,
            f"partner-{institution}",
            dispatch.read_partner_event,
            dispatch.partner_event,
            self.begin,
            self.writer,
            self.owners,
            dispatch.unreadable,
            kind="partner",
        )

    async def _as_owner(self, dispatch: "Dispatch", request: dict[str, Any]) -> Any:
        """Do what another replica hands over: a command, or messages of a consumer that both take from."""
        if "command" in request:
            return await dispatch.carry_out(Envelope.model_validate(request["command"]))
        consumer = request["consumer"]
        if consumer == "events":
            intake = self._events_intake(dispatch)
        else:
            intake = self._partner_intake(dispatch, consumer.removeprefix("partner-"))
        batch = [intake.read_one(unpacked(self.bus.client, parts)) for parts in request["messages"]]
        return [telling(error) for error in await intake.decide(batch)]

    def _intake_of(self, dispatch: Dispatch, consumer: str) -> Intake | None:
        """The intake that handles a consumer's messages again; a partner's were answered, and are not taken twice."""
        return next((one for one in self._intakes(dispatch).values() if one.consumer == consumer), None)

    def _events_consumer(self) -> Consumer:
        if self.all_events:
            return Consumer(EVENTS, self.name, ("events.>",))
        wanted: set[type[Event]] = {*self.events, AgreementSigned}
        return Consumer(EVENTS, self.name, tuple(sorted(f"events.*.{e.service}.{e.__name__}" for e in wanted)))

    def _ingress_consumer(self, institution: str) -> Consumer:
        """All of an institution's events: an id that another service has taken counts here too (decisions/0005)."""
        return Consumer(ingress_stream(institution), self.name, (f"partners.{institution}.>",))

    async def _provision(self) -> None:
        await ensure_stream(self.bus.js, EVENTS)
        await ensure_stream(self.bus.js, RECEIPTS)
        await ensure_consumer(self.bus.js, self._events_consumer())
        if self.receipts:
            await ensure_consumer(self.bus.js, Consumer(RECEIPTS, self.name, ("receipts.>",)))
        self.ingresses = {one for one in await self._institutions() if await self._provision_ingress(one)}

    async def _provision_ingress(self, institution: str) -> bool:
        """Whether an institution's events can be taken: whom the bus refuses a stream waits, and nobody else does."""
        try:
            await ensure_stream(self.bus.js, ingress_stream(institution))
            if self.partner_events:
                await ensure_consumer(self.bus.js, self._ingress_consumer(institution))
        except APIError as error:
            if institution not in self.refused:
                told = {"institution": institution, "error": repr(error)[:300]}
                log.error("no ingress stream: what this institution sends is not taken", extra=told)
            self.refused.add(institution)
            return False
        if institution in self.refused:
            log.warning("the ingress stream is there now", extra={"institution": institution})
        self.refused.discard(institution)
        return True

    async def _institutions(self) -> list[str]:
        async with self.engine.connect() as connection:
            query = select(tables.institutions.c.id).distinct().order_by(tables.institutions.c.id)
            return list((await connection.execute(query)).scalars())

    async def _watch(self, binding: Binding, dispatch: "Dispatch") -> None:
        """Every few seconds: streams and consumers are right, every institution's ingress is taken, figures fresh."""
        bound: set[str] = set()
        self.taking = set(self._intakes(dispatch))
        well = -math.inf
        while True:
            try:
                await self._provision()
                if self.partner_events:
                    for institution in self.ingresses - bound:
                        intake = self._partner_intake(dispatch, institution)
                        consumer = self._ingress_consumer(institution)
                        await self._read_again(consumer, intake)
                        await binding.consume(consumer, intake.take).start()
                        bound.add(institution)
                        self.taking.add(consumer)
                if self.all_events:
                    for institution in self.ingresses:
                        await make_room(self.bus.js, institution)
                without = {ingress_stream(institution) for institution in self.refused}
                for consumer in (one for one in self.taking if one.stream not in without):
                    LAG.labels(consumer.stream).set(await note_taken(self.engine, self.bus.js, consumer))
                self.ready, well = True, time.monotonic()
            except Exception as error:
                self.ready = time.monotonic() - well < PATIENCE_SECONDS
                log.warning("looked in vain", extra={"error": repr(error)[:300], "ready": self.ready})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await dispatch.agreed.wait()
            dispatch.agreed.clear()

    def _dsn(self) -> str:
        return self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def _relay(self) -> Relay:
        return Relay(self._dsn(), self.bus.js, lambda stream: ensure_stream(self.bus.js, stream), (EVENTS, RECEIPTS))

    async def _progress(self, body: bytes, subject: str) -> bytes:
        takes = [f"{consumer.stream}/{consumer.durable}" for consumer in self.taking]
        return json.dumps({**await self.health.backlog(), "takes": takes}).encode()

    async def _instance(self, body: bytes, subject: str) -> bytes:
        owned = len(self.owners.partitions)
        told = Instance(
            self.name, own_name(), version(), self.started, self.ready, self.relay.leading, owned, self.lost
        )
        return json.dumps(vars(told), default=str).encode()
