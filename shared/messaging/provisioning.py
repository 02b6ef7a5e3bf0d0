"""Streams and consumers, made and compared in one place: a difference is never left silent."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)
from nats.js.errors import NotFoundError

from shared.messaging.unit_of_work import EVENTS, RECEIPTS

ACK_WAIT_SECONDS = 5.0  # a killed consumer's batch comes again; a copy of one still at work meets the inbox
INGRESS_BYTES = 256 * 1024 * 1024  # of what is not taken; what is taken makes room when half is full (backlog.py)
INGRESS_SECONDS = 30 * 24 * 3600.0
_ACCOUNT = "account."
_SAME = "{{wildcard(2)}}.{{wildcard(3)}}"


def ingress_stream(institution: str) -> str:
    """The name of an institution's ingress stream."""
    return f"PARTNER_{institution}"


def replicas() -> int:
    """``RISKPOOL_NATS_REPLICAS``: how many nodes of the bus keep every stream, and its consumers with it."""
    return int(os.environ.get("RISKPOOL_NATS_REPLICAS") or 1)


def stream_config(name: str, accounts: Mapping[str, str] | None = None) -> StreamConfig:
    """The one configuration of a stream: EVENTS, RECEIPTS or an institution's ingress stream.

    ``accounts`` are the institution's bus accounts by scheme. What comes through them carries the account's key, and is
    stored under the institution's name, so that no consumer knows of accounts.
    """
    subjects = {EVENTS: ["events.>"], RECEIPTS: ["receipts.>"]}
    ingress, institution = name not in subjects, name.removeprefix("PARTNER_")
    through = sorted((accounts or {}).items())
    own = [f"partners.{institution}.>", *(f"partners.{key}.{scheme}.*" for scheme, key in through)]
    same = SubjectTransform(src="partners.*.*.*", dest=f"partners.{institution}.{_SAME}")
    return StreamConfig(
        name=name,
        subjects=subjects.get(name, own),
        subject_transform=same if through else None,
        metadata={f"{_ACCOUNT}{scheme}": key for scheme, key in through},
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        max_bytes=INGRESS_BYTES if ingress else -1,
        max_msgs=-1,
        max_age=INGRESS_SECONDS if ingress else 0,
        duplicate_window=0.1 if ingress else 120,  # a partner's ids are its own in each scheme: the inbox knows them
        num_replicas=replicas(),
    )


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer: the stream it reads and the subjects it wants."""

    stream: str
    durable: str
    subjects: tuple[str, ...]

    def config(self) -> ConsumerConfig:
        """Explicit acks, endless redelivery: attempts are counted in our own table, where an outage does not count."""
        return ConsumerConfig(
            name=self.durable,
            durable_name=self.durable,
            filter_subjects=list(self.subjects),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_deliver=-1,
            max_ack_pending=2000,
        )


def accounts_of(config: StreamConfig) -> dict[str, str]:
    """The bus accounts of an ingress stream's institution, by scheme."""
    known = (config.metadata or {}).items()
    return {name.removeprefix(_ACCOUNT): key for name, key in known if name.startswith(_ACCOUNT)}


async def ensure_stream(js: JetStreamContext, name: str, accounts: Mapping[str, str] | None = None) -> str:
    """Make a stream, or set its configuration right; returns its creation time, which tells a new one from the old.

    The accounts of an ingress stream are the gateway's to say; without ``accounts`` they stay as they are.
    """
    try:
        info = await js.stream_info(name)
        wanted = stream_config(name, accounts_of(info.config) if accounts is None else accounts)
    except NotFoundError:
        wanted = stream_config(name, accounts)
        info = await js.add_stream(wanted)
    fields = (
        "subjects", "storage", "retention", "discard", "max_bytes", "max_age", "duplicate_window", "num_replicas",
        "max_msgs", "max_msgs_per_subject", "max_msg_size", "no_ack", "republish", "subject_transform",
    )  # fmt: skip
    if any(getattr(info.config, f) != getattr(wanted, f) for f in fields) or (
        accounts_of(info.config) != accounts_of(wanted)
    ):
        info = await js.update_stream(wanted)
    return str(info.created)


async def ensure_consumer(js: JetStreamContext, consumer: Consumer) -> None:
    """Make a durable consumer, or set its configuration right."""
    wanted = consumer.config()
    try:
        has = (await js.consumer_info(consumer.stream, consumer.durable)).config
    except NotFoundError:
        await js.add_consumer(consumer.stream, wanted)
        return
    if has.deliver_policy != wanted.deliver_policy:  # cannot be changed; what is delivered again meets the inbox
        await js.delete_consumer(consumer.stream, consumer.durable)
    fields = ("deliver_policy", "ack_policy", "ack_wait", "max_deliver", "max_ack_pending")
    unset = ("headers_only", "backoff", "inactive_threshold", "rate_limit_bps", "num_replicas")
    filters = sorted(has.filter_subjects or [has.filter_subject or ""])
    if filters != sorted(consumer.subjects) or any(getattr(has, f) != getattr(wanted, f) for f in fields) or (
        any(getattr(has, f) for f in unset)
    ):
        await js.add_consumer(consumer.stream, wanted)
