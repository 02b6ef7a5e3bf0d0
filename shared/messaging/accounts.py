"""The accounts of the bus: the fund's own, where the streams are, and one for every partner, which sees its own door.

A partner publishes to ``submit.<scheme>.<Event>`` and asks ``rcpt.next`` for its receipts; its account's imports map
these to subjects that carry the account's own key, which the server checks (contract.md section 3, messaging.md 4).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.messaging.claims import May, account_claim, credentials, user_claim
from shared.messaging.instances import SUBJECT as INSTANCES
from shared.messaging.nkeys import USER, Key, new_key
from shared.messaging.unit_of_work import EVENTS, RECEIPTS

# What the gateway is given to let partners in and out: files of the directory that RISKPOOL_NATS_KEYS names.
SIGNING, FUND, SYSTEM = "operator.seed", "fund.public", "system.creds"
_NEXT, _ACK = "$JS.API.CONSUMER.MSG.NEXT", "$JS.ACK"
# A claim tells of every open loan: 256 KiB take the longest statement, of 1.3 KB escaped, on 190; all else is under 32.
EVENT_BYTES = 256 * 1024
PARTNER_LIMITS: Mapping[str, int] = {
    "conn": 20, "subs": 100, "payload": EVENT_BYTES, "imports": 3, "exports": 0, "leaf": 0,
}  # fmt: skip
FUND_EXPORTS: Sequence[Mapping[str, Any]] = (
    {"name": "submit", "subject": "partners.*.>", "type": "service", "account_token_position": 2},
    {
        "name": "receipts", "subject": f"{_NEXT}.{RECEIPTS}.*", "type": "service", "response_type": "Stream",
        "account_token_position": 7,
    },
    {"name": "acknowledge", "subject": f"{_ACK}.{RECEIPTS}.*.>", "type": "service", "account_token_position": 4},
)  # fmt: skip


def inbox_prefix(service: str) -> str:
    """Where a service takes its answers: others may not listen there."""
    return f"_INBOX_{service}"


def is_asked(reply: str) -> bool:
    """Whether somebody asks who may: what the bus delivers, wherever it was told to, is to be acked or not answered.

    The server checks the subjects that a user publishes to, not the reply that a stream's message is asked for at.
    """
    return bool(reply) and not reply.startswith("$JS.")


def partner_claim(
    operator: Key, account: str, scheme: str, institution: str, fund: str, signing_keys: Sequence[str]
) -> str:
    """A partner's account in one scheme: of the fund's it reaches its own ingress and receipts, nothing else."""
    imports = (
        {"name": "submit", "subject": f"partners.{account}.{scheme}.*", "local_subject": f"submit.{scheme}.*"},
        {"name": "receipts", "subject": f"{_NEXT}.{RECEIPTS}.{account}", "local_subject": "rcpt.next"},
        {"name": "acknowledge", "subject": f"{_ACK}.{RECEIPTS}.{account}.>"},
    )
    return account_claim(
        operator,
        account,
        f"{institution} of {scheme}",
        imports=[{**one, "account": fund, "type": "service"} for one in imports],
        limits=PARTNER_LIMITS,
        signing_keys=signing_keys,
    )


def partner_credentials(signing: Key, account: str, scheme: str, name: str, expires: int | None) -> tuple[str, str]:
    """A new user of a partner's account: its public key and its credentials; ``expires`` in Unix seconds."""
    user = new_key(USER)
    may = May((f"submit.{scheme}.*", "rcpt.next", f"{_ACK}.{RECEIPTS}.{account}.>"), ("_INBOX.>",))
    claim = user_claim(signing, user.public, name, may, account=account, expires=expires)
    return user.public, credentials(claim, user)


def service_may(service: str) -> May:
    """What a deciding service may do in the fund's account: publish its own events, and work its own consumers."""
    return May(
        (f"events.*.{service}.>", "receipts.>", f"owners.{service}.*", f"turns.{service}", *_answers(service),
         *_streams(service)),
        (_inbox(service), f"commands.*.{service}.*", f"progress.{service}", f"parked.{service}", f"owners.{service}.*",
         f"turns.{service}.told", INSTANCES),
    )


def gateway_may() -> May:
    """What the gateway may do: ask the services, submit for partners that come by HTTP, and publish its own events."""
    lists = ("$JS.API.STREAM.LIST", "$JS.API.CONSUMER.LIST.*", "$JS.API.STREAM.PURGE.*")
    partners = (f"$JS.API.CONSUMER.{verb}.{RECEIPTS}.>" for verb in ("INFO", "CREATE", "DURABLE.CREATE", "DELETE"))
    asks = ("commands.>", "progress.*", "parked.*", "turns.*.told", "partners.*.>", INSTANCES)
    return May(
        ("events.*.gateway.>", *asks, *_answers("gateway"), *_streams("gateway"), *lists, *partners),
        (_inbox("gateway"), "progress.gateway", "parked.gateway", "turns.*", INSTANCES),
        never=(f"$JS.API.STREAM.PURGE.{EVENTS}", f"$JS.API.STREAM.PURGE.{RECEIPTS}"),
    )


def system_may() -> May:
    """What the gateway may do in the system's account: change partners' accounts."""
    return May(("$SYS.REQ.CLAIMS.>", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"), (_inbox("gateway"),))


def _inbox(service: str) -> str:
    return f"{inbox_prefix(service)}.>"


def _answers(service: str) -> tuple[str, ...]:
    return (_inbox(service), _inbox("gateway"))


def _streams(durable: str) -> tuple[str, ...]:
    """Streams may be made and looked at by every service, a consumer only by the one that it is named after."""
    return (
        "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.CREATE.*",
        "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.MSG.GET.*", f"$JS.API.DIRECT.GET.{EVENTS}",
        *(f"$JS.API.CONSUMER.{verb}.*.{durable}" for verb in ("INFO", "CREATE", "DURABLE.CREATE", "DELETE")),
        f"$JS.API.CONSUMER.CREATE.*.{durable}.>", f"{_NEXT}.*.{durable}", f"{_ACK}.*.{durable}.>",
    )  # fmt: skip
