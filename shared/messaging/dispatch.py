"""From a message to its handler and back: who may send it, what was decided, what is answered."""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nats.aio.msg import Msg
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import SHANGHAI
from shared.contracts.base import OrganisationKind, PartnerEvent
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS
from shared.contracts.review import AgreementSigned
from shared.database import is_outage
from shared.decisions import Decision, Refusal
from shared.messaging.commands import Answer, answer_of, body_sha256, mismatch, parse_command, refused
from shared.messaging.envelope import Envelope, printable
from shared.messaging.incoming import Incoming, describe
from shared.messaging.owners import NoOwner
from shared.messaging.reading import read_partner_event
from shared.messaging.receipts import Outcome, Receipt, announce_receipt
from shared.messaging.tables import receipts
from shared.messaging.unit_of_work import Institution, Transaction, UnitOfWork
from shared.messaging.writer import Work
from shared.observability import traces
from shared.observability.figures import COMMAND_SECONDS, COMMANDS_FAILED, count
from shared.scheme.refusals import explain

if TYPE_CHECKING:
    from shared.messaging.service import Service

log = logging.getLogger("riskpool.dispatch")
ORPHANS = "review"  # the service that also answers for partner events that nobody knows


class Dispatch:
    """Gives each message to the service's handler, once its sender is known to be allowed."""

    def __init__(self, service: "Service"):
        self.service = service
        self.agreed = asyncio.Event()

    # -- events --------------------------------------------------------------------------------------------------

    async def event(self, transaction: Transaction, one: Incoming) -> str:
        """One of our services' events: its handler, and what every service keeps of agreements."""
        assert one.envelope is not None and one.message is not None
        if isinstance(one.message, AgreementSigned):
            transaction.signed.append((one.scheme, _institution(one.message)))
        if self.service.all_events and one.scheme in self.service.schemes:
            transaction.write_together(self.service.all_events, (one.envelope, one.message))
        handler = self.service.events.get(type(one.message))  # type: ignore[arg-type]
        if handler and one.scheme in self.service.schemes:
            sender = one.source.rsplit("/", 1)[1]
            unit = self._unit(transaction, one.envelope, one.scheme, one.envelope.time, sender, "service")
            await unit.record((await handler(unit, one.message)).events)
        return "taken"

    def taken(self, one: Incoming) -> None:
        """Something was taken and committed: an institution that is new has its events taken from now on."""
        if isinstance(one.message, AgreementSigned):
            self.agreed.set()

    # -- partner events ------------------------------------------------------------------------------------------

    def read_partner_event(self, raw: Msg) -> Incoming:
        """A partner's event off the bus; what another service answers for is not judged here."""
        one = read_partner_event(raw, self._is_ours)
        if one.institution and not one.error and one.scheme not in self.service.schemes:
            return replace(one, error=f"unknown scheme {one.scheme!r}")
        return one

    async def partner_event(self, transaction: Transaction, one: Incoming) -> str:
        """A partner's event: decided by its handler, answered by exactly one receipt."""
        if not self._is_ours(one.name):
            return ""
        assert one.envelope is not None and one.stored is not None and isinstance(one.message, PartnerEvent)
        moment = self.service.clock.business_time(one.envelope.time, one.stored)
        unit = self._unit(transaction, one.envelope, one.scheme, moment, one.institution, "")
        decision = await self._decide_partner_event(unit, one, one.message)
        await unit.record(decision.events)
        if isinstance(decision, Refusal):
            detail = explain(decision.rule, decision.reason, decision.figures, "zh", unit.scheme)
            return self._answer(transaction, one, "refused", unit.time, decision.rule, detail)
        note = str(decision.result.get("note", "")) or None
        outcome: Outcome = "duplicate" if decision.duplicate else "accepted"
        return self._answer(transaction, one, outcome, unit.time, detail=note)

    async def _decide_partner_event(self, unit: UnitOfWork, one: Incoming, message: PartnerEvent) -> Decision:
        assert one.envelope is not None
        claimed = one.envelope.source.removeprefix("/partners/") if one.envelope.source.startswith("/partners/") else ""
        named = one.envelope.data.get("institution")
        for other in (claimed, named):
            if other and other != one.institution:
                return Refusal("permission", "other_institution", {"named": str(other), "sender": one.institution})
        institution = await unit.institution(one.institution)
        unit.sender_kind = institution.kind if institution else ""
        if refusal := _not_for(unit, message.senders):
            return refusal
        decision: Decision = await self.service.partner_events[type(message)](unit, message)
        return decision

    def _is_ours(self, name: str) -> bool:
        owner = PARTNER_EVENTS[name].owner if name in PARTNER_EVENTS else ORPHANS
        return owner == self.service.name

    async def unreadable(self, transaction: Transaction, one: Incoming) -> str:
        """The receipt of a partner event that was parked."""
        if not self._is_ours(one.name):
            return ""
        moment = (one.stored or self.service.clock.now()).astimezone(SHANGHAI)
        detail = explain("unreadable", "", {"problem": one.error or "it could not be handled"}, "zh")
        return self._answer(transaction, one, "unreadable", moment.isoformat(), detail=detail)

    def _answer(
        self,
        transaction: Transaction,
        one: Incoming,
        outcome: Outcome,
        time: str,
        rule: str | None = None,
        detail: str | None = None,
    ) -> Outcome:
        told = detail and printable(detail, 1000)
        under = one.envelope.traceparent if one.envelope else None
        to = (one.institution, one.scheme or "none", one.name or "none")
        announce_receipt(transaction, *to, one.id, outcome, time, rule, told, under, one.body_sha256)
        return outcome

    # -- receipts, for the gateway ---------------------------------------------------------------------------------

    def read_receipt(self, raw: Msg) -> Incoming:
        """A receipt off the bus, from ``receipts.<institution>.<scheme>.<EventName>``."""
        _, institution, scheme, name = raw.subject.split(".", 3)
        try:
            envelope = Envelope.model_validate_json(raw.data)
        except ValidationError as error:
            return Incoming(raw, raw.subject, str(raw.metadata.sequence.stream), scheme, name, error=describe(error))
        return Incoming(raw, raw.subject, envelope.id, scheme, name, envelope, institution=institution)

    async def receipt(self, transaction: Transaction, one: Incoming) -> str:
        """Keep a receipt where it can be asked for."""
        assert one.envelope is not None
        receipt = Receipt.model_validate_json(json.dumps(one.envelope.data))
        row = {
            **receipt.model_dump(), "scheme": one.scheme, "institution": one.institution, "event_name": one.name,
            "body_sha256": bytes.fromhex(one.envelope.bodysha256) or None,
        }  # fmt: skip
        transaction.write_together(_keep_receipts, row)
        return "taken"

    # -- commands --------------------------------------------------------------------------------------------------

    async def command(self, body: bytes, subject: str) -> bytes:
        """Carry out a command and answer; a failure of ours is said, not swallowed."""
        began = time.monotonic()
        asked = subject.rsplit(".", 1)[1]
        name = asked if asked in COMMANDS else "unknown"
        try:
            answer = await self._traced(name, Envelope.model_validate_json(body))
        except ValidationError as error:
            answer = _told("malformed", "", {"problem": describe(error)})
        COMMAND_SECONDS.labels(name).observe(time.monotonic() - began)
        if answer["status"] >= 500:
            COMMANDS_FAILED.inc()
        count("command", Counter({(name, str(answer["status"])): 1}))
        return json.dumps(answer, default=str).encode()

    async def _traced(self, name: str, envelope: Envelope) -> Answer:
        """Carry a command out as a span of its own; a failure of ours is an answer, and said in the log."""
        with traces.spanning(f"decide {name}", "server", envelope.traceparent) as span:
            if span.traceparent:
                envelope = envelope.model_copy(update={"traceparent": span.traceparent})
            ids = {"id": envelope.id, "trace_id": traces.trace_id(envelope.traceparent)}
            try:
                answer = await self._carry_out(envelope)
            except ValidationError:
                raise
            except Exception as error:
                log.error("command failed", exc_info=error, extra={"command": name, **ids})
                answer = _told("unavailable" if is_outage(error) else "internal", "", {})
            case = answer.get("case", "")
            span.told(
                messaging__message__id=envelope.id,
                messaging__message__conversation_id=case,
                riskpool__scheme=envelope.scheme,
                riskpool__status=answer["status"],
            )
        log.info("answered", extra={"command": name, "status": answer["status"], **ids, "correlation_id": case})
        return answer

    async def _carry_out(self, envelope: Envelope) -> Answer:
        if envelope.scheme not in self.service.schemes:
            return _told("unknown", "scheme", {"id": envelope.scheme})
        if not self.service.owners.own(envelope.scheme):
            with contextlib.suppress(NoOwner):
                request = {"command": envelope.model_dump(mode="json")}
                answer: Answer = await self.service.owners.hand_over(envelope.scheme, request)
                return answer
        return await self.carry_out(envelope)

    async def carry_out(self, envelope: Envelope) -> Answer:
        """Let this replica's writer carry out a command once, and give its first answer for ever."""
        organisation, digest = envelope.source.rpartition("/")[2], body_sha256(envelope)

        async def first(transaction: Transaction) -> Answer:
            return await self._first(
                self._unit(transaction, envelope, envelope.scheme, envelope.time, organisation, ""), envelope
            )

        work = Work(envelope.scheme, (envelope.scheme, organisation, envelope.id), digest, first, is_command=True)
        await self.service.writer.do([work])
        if work.error:
            raise work.error
        if work.repeated:
            known: Answer = work.repeated.answer
            return known if work.repeated.sha256 == digest else mismatch(envelope.id)
        result: Answer = work.result
        return result

    async def _first(self, unit: UnitOfWork, envelope: Envelope) -> Answer:
        command = parse_command(envelope)
        if isinstance(command, Refusal):
            return refused(unit, command)
        organisation = unit.scheme.organisations.get(unit.sender)
        institution = None if organisation else await unit.institution(unit.sender)
        unit.sender_kind = organisation.kind if organisation else institution.kind if institution else ""
        if refusal := _not_for(unit, command.by):
            return refused(unit, refusal)
        decision: Decision = await self.service.commands[type(command)](unit, command)
        unit.correlation_id = command.case
        case = next((event.case for event in decision.events if event.case), command.case or command.about)
        return {**await answer_of(unit, decision), "case": case}

    def _unit(
        self, transaction: Transaction, envelope: Envelope, scheme: str, moment: datetime, sender: str, kind: str
    ) -> UnitOfWork:
        return UnitOfWork(
            transaction,
            self.service.schemes[scheme],
            moment.astimezone(SHANGHAI),
            sender,
            kind,
            envelope.id,
            envelope.correlationid,
            envelope.traceparent,
        )


async def _keep_receipts(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    await connection.execute(insert(receipts).on_conflict_do_nothing(), rows)


def _institution(signed: AgreementSigned) -> Institution:
    return Institution(signed.institution, signed.kind, signed.name, signed.valid_from, signed.valid_to)


def _told(rule: str, reason: str, figures: dict[str, str]) -> Answer:
    status = {"malformed": 422, "unknown": 404, "unavailable": 503}.get(rule, 500)
    body = {"rule": rule, "reason": reason, "figures": figures, "findings": [], "clause": ""}
    return {"status": status, "body": body}


def _not_for(unit: UnitOfWork, allowed: tuple[OrganisationKind, ...]) -> Refusal | None:
    if unit.sender_kind in allowed:
        return None
    reason = "" if unit.sender_kind else "unknown_sender"
    return Refusal("permission", reason, {"sender": unit.sender, "allowed": ", ".join(allowed)})
