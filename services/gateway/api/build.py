"""The gateway's routes put onto its application, and what runs beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from services.gateway.api import openapi, problems
from services.gateway.api.bus_access import bus_access_routes
from services.gateway.api.commands import command_routes
from services.gateway.api.documents import document_routes
from services.gateway.api.events import Feed, event_routes
from services.gateway.api.operations import operation_routes
from services.gateway.api.ops import ops_routes
from services.gateway.api.parked import parked_routes
from services.gateway.api.partner_files import partner_file_routes
from services.gateway.api.partner_intake import partner_routes
from services.gateway.api.reports import report_routes
from services.gateway.api.resources import resource_routes
from services.gateway.api.shutdown import Closing
from services.gateway.auth.bus_access import keep_telling
from services.gateway.auth.own_pages import OwnPages
from services.gateway.auth.settings import SignInSettings
from services.gateway.business_days import keep_announcing
from services.gateway.console.build import build_console, presenter
from services.gateway.documents.intake import Documents
from services.gateway.figures import show_fund, show_upkeep
from services.gateway.reads import reads_of
from services.gateway.reports.work import keep_making
from services.gateway.uploads.work import keep_reporting
from shared.messaging.service import Service


def build_api(app: FastAPI, service: Service) -> None:
    """Add the public API to the gateway's application."""
    closing = Closing()
    feed = Feed(service, closing)
    shell = build_console(app, service, feed)
    present = presenter(shell)
    problems.install(app, present)
    app.add_middleware(OwnPages, present=present, public_url=SignInSettings.from_environment().public_url)
    for router in (
        command_routes(service),
        partner_routes(service),
        partner_file_routes(service),
        bus_access_routes(service),
        resource_routes(service),
        operation_routes(service),
        ops_routes(service),
        parked_routes(service),
        document_routes(service),
        report_routes(service),
        event_routes(service, feed),
    ):
        app.include_router(router)
    openapi.install(app)
    show_fund(service)
    show_upkeep(service)
    app.state.feed = feed
    _run_beside(app, service, closing, feed)


def _run_beside(app: FastAPI, service: Service, closing: Closing, feed: Feed) -> None:
    """Within the service's own lifespan: the feed of live streams and, with the server's clock, the business days."""
    service_lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(application: Any) -> AsyncIterator[Any]:
        async with service_lifespan(application) as state:
            with closing.on_signals():
                beside = (
                    *(feed.watch(), Documents(service).keep_scanning(), keep_making(service)),
                    *(keep_telling(service), keep_reporting(service)),
                )
                tasks = [asyncio.create_task(work) for work in beside]
                if service.clock.mode == "server":
                    tasks.append(asyncio.create_task(keep_announcing(service)))
                try:
                    yield state
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    await reads_of(service.engine).dispose()

    app.router.lifespan_context = lifespan
