"""Spans of OpenTelemetry: a command, each event that follows, each service that takes it; each the parent of the next.

Off unless ``RISKPOOL_TRACES`` is set; then nothing of the library is imported and nothing is done. A span's place goes
with the message: in the header ``traceparent`` from who publishes to who takes, in the envelope from the decision to
the relay. Spans are found by the case: ``messaging.message.conversation_id`` is the envelope's ``correlationid``.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as Recorded
    from opentelemetry.trace import Tracer

SETTING = "RISKPOOL_TRACES"
HEADER = "traceparent"
EXPORT_MILLISECONDS = 500
Kind = Literal["client", "server", "producer", "consumer"]
_tracer: "Tracer | None" = None


class Span:
    """One span; without tracing it has no ``traceparent`` and does nothing."""

    def __init__(self, recorded: "Recorded | None" = None) -> None:
        self._recorded = recorded
        self.traceparent = _traceparent(recorded) if recorded else ""

    def told(self, **attributes: str | int) -> None:
        """Add attributes; ``__`` stands for a dot."""
        if self._recorded:
            self._recorded.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})

    def end(self, problem: str = "") -> None:
        """End it, as failed when there is a problem."""
        if self._recorded:
            if problem:
                from opentelemetry.trace import Status, StatusCode

                self._recorded.set_status(Status(StatusCode.ERROR, problem[:200]))
            self._recorded.end()


def start(service: str) -> None:
    """Trace this process when ``RISKPOOL_TRACES`` names an OTLP endpoint over HTTP, or a file for JSON lines."""
    global _tracer
    where = os.environ.get(SETTING, "")
    if not where or _tracer is not None:
        return
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAMESPACE: "riskpool", SERVICE_NAME: service}))
    provider.add_span_processor(BatchSpanProcessor(_exporter(where), schedule_delay_millis=EXPORT_MILLISECONDS))
    _tracer = provider.get_tracer("riskpool")


def on() -> bool:
    """Whether this process traces."""
    return _tracer is not None


def begin(name: str, kind: Kind, parent: str | None = None, **attributes: str | int) -> Span:
    """A span that begins now under the one whose ``traceparent`` is ``parent``; a root where that is none."""
    if _tracer is None:
        return Span()
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({HEADER: parent} if parent else {})
    span = Span(_tracer.start_span(name, context, SpanKind[kind.upper()]))
    span.told(**attributes)
    return span


@contextlib.contextmanager
def spanning(name: str, kind: Kind, parent: str | None = None, **attributes: str | int) -> Iterator[Span]:
    """The same, ended with the block; failed when the block raises."""
    span = begin(name, kind, parent, **attributes)
    try:
        yield span
    except BaseException as error:
        span.end(repr(error))
        raise
    span.end()


def trace_id(traceparent: str | None) -> str:
    """The trace that a ``traceparent`` belongs to, for a log line; empty when it is none."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else ""


def _traceparent(recorded: "Recorded") -> str:
    context = recorded.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _exporter(where: str) -> "SpanExporter":
    if where.startswith(("http://", "https://")):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(where)
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    file = open(where, "a", encoding="utf-8")  # noqa: SIM115 - as long as the process
    return ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
