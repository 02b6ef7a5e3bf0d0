"""The OpenAPI 3.1 document with the contract's own schemas, and pages for it that load nothing from outside."""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.api.operations import BusinessDay
from shared.contracts.registry import COMMANDS, PARTNER_EVENTS

TITLE = "riskpool"
VERSION = "1"
DESCRIPTION = """The API of the risk-compensation fund: commands of agencies, events of partner institutions, reading.

Amounts are strings of yuan with two decimals (`"5000000.00"`), ratios decimal strings (`"0.50"`), dates `YYYY-MM-DD`.
A refusal is an RFC 9457 problem: `detail` says what to do (`Accept-Language: zh` or `en`), `rule` names the rule of the
scheme. Send a bearer token of your organisation."""
STATIC = "/static/api-pages"
_PAGES = Path(fastapi_offline.__file__).parent / "static"


def install(app: FastAPI) -> None:
    """Title, document and pages of the API."""
    app.title, app.version, app.description = TITLE, VERSION, DESCRIPTION
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    app.mount(STATIC, StaticFiles(directory=_PAGES), name="api-pages")
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.add_api_route("/redoc", _redoc, include_in_schema=False)


def document(app: FastAPI) -> dict[str, Any]:
    """The document, built once: operations from the routes, messages from the contract's classes."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            openapi_version="3.1.0",
            routes=app.routes,
        )
        components = made.setdefault("components", {})
        components["schemas"] = {**contract_schemas(), **components.get("schemas", {})}
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"bearer": []}]
        app.openapi_schema = _as_problems(made)
    return app.openapi_schema


def contract_schemas() -> dict[str, Any]:
    """JSON Schemas of every message that this API takes."""
    models: list[type[BaseModel]] = [*COMMANDS.values(), *PARTNER_EVENTS.values(), BusinessDay]
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    found: dict[str, Any] = schemas["$defs"]
    return found


def _as_problems(made: dict[str, Any]) -> dict[str, Any]:
    """Refusals are application/problem+json, and FastAPI's own validation error is none of ours."""
    for path in made["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status >= "400" and "application/json" in content:
                    response["content"] = {"application/problem+json": content["application/json"]}
    for unused in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(unused, None)
    return made


async def _docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=TITLE,
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{STATIC}/favicon.png",
    )


async def _redoc() -> HTMLResponse:
    return get_redoc_html(
        openapi_url="/openapi.json",
        title=TITLE,
        redoc_js_url=f"{STATIC}/redoc.standalone.js",
        with_google_fonts=False,
        redoc_favicon_url=f"{STATIC}/favicon.png",
    )
