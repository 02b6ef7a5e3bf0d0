"""`riskpool exporter`: the bus's streams and consumers for Prometheus, read with the operator's credentials."""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import nats.errors
import typer
import uvicorn
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, StreamInfo
from prometheus_client.core import Metric
from starlette.applications import Starlette

from riskpool.place import find_running
from riskpool.supervisor import StackError
from riskpool.token import DEFAULT_DATA, Data, fail
from shared.observability.scrape import SETTING, Scrape, gauge, gauges

PORT = 9108
ASK_SECONDS = 1.5
INGRESS = "PARTNER_"
PAGE = 256  # what the server gives at once
Stream = tuple[StreamInfo, Sequence[ConsumerInfo]]


def exporter(
    port: Annotated[int, typer.Option(help="Port of /metrics.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data: Data = DEFAULT_DATA,
) -> None:
    """Show the bus to Prometheus: messages, bytes and limits of each stream, what each consumer has not yet taken.

    The bus is that of RISKPOOL_NATS_URL and RISKPOOL_NATS_CREDENTIALS, else of the stack running in the data directory.
    It asks for the token of RISKPOOL_METRICS_TOKEN, as the services do.
    """
    if not os.environ.get("RISKPOOL_NATS_URL"):
        try:
            running = find_running(data)
        except StackError as error:
            fail(str(error))
        os.environ["RISKPOOL_NATS_URL"] = str(running["nats_url"])
        os.environ["RISKPOOL_NATS_CREDENTIALS"] = str(running["nats_credentials"])
        os.environ.setdefault(SETTING, str(running["metrics_token"]))
    asyncio.run(_serve(host, port))


async def _serve(host: str, port: int) -> None:
    from shared.messaging.bus import connect

    scrape = Scrape()
    app = Starlette()
    app.add_route("/metrics", scrape.answer)
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, access_log=False, log_level="warning"))

    async def follow() -> None:
        client = await connect("riskpool-exporter", "exporter")
        js = client.jetstream(timeout=ASK_SECONDS)

        async def read() -> Iterable[Metric]:
            return bus_metrics(await streams_of(js) if client.is_connected else None)

        scrape.readings["bus"] = read

    scrape.readings["bus"] = _unreachable
    following = asyncio.create_task(follow())
    try:
        await server.serve()
    finally:
        following.cancel()


async def _unreachable() -> Iterable[Metric]:
    return bus_metrics(None)


async def streams_of(js: JetStreamContext) -> list[Stream] | None:
    """Every stream with its consumers; None when the bus does not answer in time."""
    try:
        streams = await _all_streams(js)
        consumers = await asyncio.gather(*(_all_consumers(js, info.config.name or "") for info in streams))
    except (nats.errors.Error, TimeoutError):
        return None
    return list(zip(streams, consumers, strict=True))


async def _all_streams(js: JetStreamContext) -> list[StreamInfo]:
    found: list[StreamInfo] = []
    while page := await js.streams_info(offset=len(found)):
        found += page
        if len(page) < PAGE:
            break
    return found


async def _all_consumers(js: JetStreamContext, stream: str) -> list[ConsumerInfo]:
    found: list[ConsumerInfo] = []
    while page := await js.consumers_info(stream, offset=len(found)):
        found += page
        if len(page) < PAGE:
            break
    return found


def bus_metrics(streams: Sequence[Stream] | None) -> Iterator[Metric]:
    """What the exporter shows; ``riskpool_bus_up`` is 0, and nothing else is shown, when the bus does not answer."""
    yield gauge("riskpool_bus_up", "1 when the bus answered", int(streams is not None))
    if streams is None:
        return
    states = [((info.config.name or "",), info) for info, _ in streams]
    stream = ("stream",)
    yield gauges("riskpool_stream_messages", "Messages in a stream", stream, [(n, i.state.messages) for n, i in states])
    yield gauges("riskpool_stream_bytes", "Bytes in a stream", stream, [(n, i.state.bytes) for n, i in states])
    yield gauges(
        "riskpool_stream_limit_bytes", "How many a stream may hold before it refuses more", stream,
        [(n, i.config.max_bytes) for n, i in states if i.config.max_bytes and i.config.max_bytes > 0],
    )  # fmt: skip
    yield gauges(
        "riskpool_stream_last_sequence", "How many messages were ever stored in a stream", stream,
        [(n, i.state.last_seq) for n, i in states],
    )  # fmt: skip
    consumers = [((i.config.name or "", one.name), one) for i, found in streams for one in found]
    for name, told, field in (
        ("pending", "Messages that were not yet delivered to a consumer", "num_pending"),
        ("ack_pending", "Messages delivered to a consumer and not yet acknowledged", "num_ack_pending"),
        ("redelivered", "Messages of these that were delivered more than once", "num_redelivered"),
    ):
        values = [(place, getattr(one, field) or 0) for place, one in consumers]
        yield gauges(f"riskpool_consumer_{name}_messages", told, ("stream", "consumer"), values)
    yield gauges(
        "riskpool_ingress_backlog_messages", "Messages of a partner that a service has not yet taken", ("institution",),
        [((n[0].removeprefix(INGRESS),), _backlog(found)) for (n, _), (_, found) in zip(states, streams, strict=True)
         if n[0].startswith(INGRESS)],
    )  # fmt: skip
    yield gauges(
        "riskpool_receipts_waiting_messages", "Receipts that a partner has not yet fetched", ("institution", "scheme"),
        [(whose, _backlog((one,))) for i, found in streams if i.config.name == "RECEIPTS" for one in found
         if (whose := _whose(one))],
    )  # fmt: skip


def _whose(receipts: ConsumerInfo) -> tuple[str, ...]:
    """Institution and scheme of a partner's consumer of receipts, which is named after its account; else nothing."""
    subjects = receipts.config.filter_subjects or [receipts.config.filter_subject or ""]
    parts = subjects[0].split(".")
    return (parts[1], parts[2]) if len(subjects) == 1 and len(parts) == 4 else ()


def _backlog(consumers: Sequence[ConsumerInfo]) -> int:
    """What the slowest consumer has before it: several of them see the same messages."""
    return max(((one.num_pending or 0) + (one.num_ack_pending or 0) for one in consumers), default=0)
