"""The gateway put together: every service's events for reading, and the public API."""

from services.gateway.api.build import build_api
from services.gateway.projections.dispatch import project
from services.gateway.projections.turns import beyond, in_turn
from shared.messaging.service import Service

SERVICE = Service(
    name="gateway", all_events=project, in_turn=in_turn, beyond=beyond, receipts=True, extend=build_api
)  # fmt: skip
app = SERVICE.asgi()
