"""The profile `sso`, as far as it goes without Keycloak's image: its realm and settings are what the gateway asks."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.gateway.auth.settings import SignInSettings
from services.gateway.console.provider import RETURN
from tests.compose.conftest import ROOT, Platform
from tests.system.test_docs import blocks

pytestmark = pytest.mark.compose
CLIENT_SECRET = "the-client-s"


@pytest.fixture
def port() -> str:
    return "8081"


@pytest.fixture
def services(engine: Platform, tmp_path: Path, port: str) -> dict[str, Any]:
    """The services with the settings of docs/sign-in.md."""
    [settings] = blocks("docs/sign-in.md", "ini")
    (tmp_path / "env").write_text(settings.replace("SSO_PORT=8081", f"SSO_PORT={port}"))
    told = engine.compose("--env-file", str(tmp_path / "env"), "--profile", "sso", "config", "--format", "json")
    found: dict[str, Any] = json.loads(told)["services"]
    return found


@pytest.fixture
def begun(services: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """The variables with which Keycloak's container would start it."""
    [script] = services["keycloak"]["command"]
    for name in ("keycloak", "keycloak-admin", "oidc-client"):
        (tmp_path / name).write_text(f"{CLIENT_SECRET}\n" if name == "oidc-client" else f"{name}-s\n")
    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path))
    script = script.replace("/opt/keycloak/bin/kc.sh start --import-realm", "env -0")
    command = [*services["keycloak"]["entrypoint"], script]
    variables = subprocess.check_output(command, env=services["keycloak"]["environment"], text=True)
    return dict(line.split("=", 1) for line in variables.split("\0") if line)


def test_the_realm_is_the_provider_that_the_gateway_expects(
    services: dict[str, Any], begun: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in services["gateway"]["environment"].items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    settings = SignInSettings.from_environment()
    provider = settings.provider
    assert provider is not None
    realm = json.loads(Template((ROOT / "ops" / "keycloak" / "realm.json").read_text()).substitute(begun))
    assert provider.issuer == f"{begun['KC_HOSTNAME']}/realms/{realm['realm']}"
    [client] = realm["clients"]
    assert (client["clientId"], client["secret"]) == (provider.client_id, provider.client_secret)
    assert provider.client_secret == CLIENT_SECRET
    assert client["redirectUris"] == [settings.public_url + RETURN]
    assert client["attributes"]["pkce.code.challenge.method"] == "S256"
    flows = {name: on for name, on in client.items() if name.endswith("Enabled") and on}
    assert flows == {"standardFlowEnabled": True}
    [mapper] = client["protocolMappers"]
    assert (mapper["config"]["claim.name"], mapper["config"]["id.token.claim"]) == (provider.claim, "true")
    assert "users" not in realm


@pytest.mark.parametrize("port", ["8081", "8091"])
def test_the_gateway_reaches_keycloak_by_the_address_that_people_use(services: dict[str, Any], port: str) -> None:
    keycloak, gateway = services["keycloak"], services["gateway"]
    address = urlsplit(keycloak["environment"]["KC_HOSTNAME"])
    assert address.hostname in keycloak["networks"]["front"]["aliases"]
    assert "front" in gateway["networks"]
    [published] = keycloak["ports"]
    assert (published["host_ip"], published["published"], str(published["target"])) == ("127.0.0.1", port, port)
    assert str(address.port) == keycloak["environment"]["KC_HTTP_PORT"] == port
    assert gateway["environment"]["RISKPOOL_OIDC_ISSUER"] == f"{address.geturl()}/realms/riskpool"


def test_keycloak_begins_with_the_secrets_of_its_files(services: dict[str, Any], begun: dict[str, str]) -> None:
    assert begun["KC_DB_PASSWORD"] == "keycloak-s"
    assert begun["KC_BOOTSTRAP_ADMIN_PASSWORD"] == "keycloak-admin-s"
    mounted = {one["source"] for one in services["keycloak"]["secrets"]}
    assert mounted == {"keycloak", "keycloak-admin", "oidc-client"}


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_keycloak_is_healthy_when_its_own_page_says_so(services: dict[str, Any], status: int, code: int) -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _, *command, check = services["keycloak"]["healthcheck"]["test"]
    check = check.replace("$$", "$").replace("/9000", f"/{server.server_port}")
    assert subprocess.run([*command, check], timeout=5).returncode == code
    server.shutdown()
