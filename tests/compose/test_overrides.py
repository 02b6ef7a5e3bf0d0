"""What the pages have an operator put into docker-compose.override.yml: partners on the bus, a collector of traces."""

import sys
from collections.abc import Iterator

import pytest

from tests.compose.conftest import NATS_PORT, Platform
from tests.conftest import eventually
from tests.system.test_docs import blocks

pytestmark = pytest.mark.compose
# Prints whose spans it is sent; the name follows its key in the bytes of OTLP.
COLLECTOR = """
services:
  collector:
    image: riskpool:local
    healthcheck: {test: [CMD, "true"]}
    command:
      - python
      - -uc
      - |
        import http.server, re
        class Taken(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                print(self.path, *re.findall(rb"service[.]name[^s].{3}([a-z]+)", body, re.DOTALL))
                self.send_response(200)
                self.end_headers()
        http.server.HTTPServer(("0.0.0.0", 4318), Taken).serve_forever()
"""


@pytest.fixture(scope="module")
def opened(engine: Platform, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A fund whose bus partners reach, and that tells a collector what it does."""
    [partners], [traces] = blocks("docs/containers.md", "yaml"), blocks("docs/traces.md", "yaml")
    files = {"partners.yml": partners, "traces.yml": traces, "collector.yml": COLLECTOR}
    for name, text in files.items():
        (engine.place / name).write_text(text)
    make_secrets, _ = blocks("docs/containers.md", "sh")
    certificate, *_ = blocks("docs/containers.md", "bash")
    before = engine.environment
    engine.environment = before | {
        "COMPOSE_FILE": ":".join(("docker-compose.yml", *files)),
        "RISKPOOL_TRACES": "http://collector:4318/v1/traces",
    }
    try:
        engine.shell(f"{make_secrets}\n{certificate}")
        platform: Platform = request.getfixturevalue("platform")
        platform.open_fund()
        yield platform
    finally:
        engine.environment = before


def test_a_partner_comes_in_encrypted_by_the_published_port_and_not_otherwise(opened: Platform) -> None:
    create = ("exec", "-T", "gateway", "python", "-m", "riskpool", "partner", "add", "bank-a")
    (opened.place / "bank-a.creds").write_text(opened.compose(*create))
    certify = f"{sys.executable} -m riskpool partner certify bank-a --credentials bank-a.creds --url"
    known = "RISKPOOL_NATS_CA=secrets/bus-authority.crt"
    assert "FAILED" not in opened.shell(f"{known} {certify} tls://127.0.0.1:{NATS_PORT}")
    with pytest.raises(AssertionError, match="no way in"):
        opened.shell(f"{certify} nats://127.0.0.1:{NATS_PORT}")


def test_a_collector_on_the_network_of_the_metrics_is_told(opened: Platform) -> None:
    def told() -> bool:
        seen = opened.compose("logs", "--no-log-prefix", "collector")
        return all(f"/v1/traces b'{name}'" in seen for name in ("gateway", "review", "pool"))

    eventually(told, 60)
