"""What a message carries of its trace, and the span under which a service takes it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.messaging.envelope import printable
from shared.observability import traces

if TYPE_CHECKING:
    from shared.messaging.incoming import Incoming


def under_header(one: "Incoming") -> "Incoming":
    """A message under the span that published it, which its header names; the envelope names the decision before."""
    parent = (one.raw.headers or {}).get(traces.HEADER)
    if parent is None or one.envelope is None:
        return one
    return replace(one, envelope=one.envelope.model_copy(update={"traceparent": parent}))


def under_spans(batch: "Sequence[Incoming]", kind: str) -> "tuple[list[Incoming], list[traces.Span]]":
    """Each message under a span of its own; its header says so too, for the replica that it may be handed over to."""
    under, spans = [], []
    for one in batch:
        parent = one.envelope.traceparent if one.envelope else None
        span = traces.begin(
            f"take {one.label}" if kind != "receipt" else "take receipt",
            "consumer",
            parent,
            messaging__system="nats",
            messaging__destination__name=printable(one.raw.subject, 200),
            messaging__message__id=one.id,
            messaging__message__conversation_id=one.envelope.correlationid if one.envelope else "",
            riskpool__scheme=one.scheme,
        )
        spans.append(span)
        one.raw.headers = {**(one.raw.headers or {}), traces.HEADER: span.traceparent}
        under.append(under_header(one))
    return under, spans
