"""A house that Prometheus and Alertmanager watch by the shipped rules, and the webhook that is told."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from tests.conftest import free_port
from tests.monitoring.conftest import ROOT, SCENARIOS, House, Program, Prometheus, binary, configuration

RULES = ROOT / "ops" / "prometheus" / "alerts.yml"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
SCHEME = "stop-loss"
HEAD = f"""
scheme: {SCENARIOS / "schemes" / "stop-loss.toml"}
use: {SCENARIOS / "parts" / "lending.yaml"}
custodian: auto
steps:
"""

class Webhook(ThreadingHTTPServer):
    """What Alertmanager tells: ``told`` has (receiver, alert) of every firing one."""

    def __init__(self) -> None:
        self.told: set[tuple[str, str]] = set()
        super().__init__(("127.0.0.1", free_port()), _Hear)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Hear(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in told["alerts"]:
            if alert["status"] == "firing":
                self.server.told.add((self.path.strip("/"), alert["labels"]["alertname"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Alarmed:
    """A house that Prometheus and Alertmanager watch by the shipped rules, only without their patience."""

    def __init__(self, house: House, directory: Path) -> None:
        self.house, self.directory = house, directory
        self.webhook = Webhook()
        rules = yaml.safe_load(RULES.read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule["for"] = "0s"
        (directory / "alerts.yml").write_text(yaml.safe_dump(rules))
        address = self.alertmanager_address = f"127.0.0.1:{free_port()}"
        command = [
            binary("prometheus-alertmanager", "alertmanager"), f"--config.file={self._alertmanager(directory)}",
            f"--storage.path={directory / 'alertmanager'}", f"--web.listen-address={address}",
            "--cluster.listen-address=", "--log.level=warn",
        ]  # fmt: skip
        self.alertmanager = Program(command, directory / "alertmanager.log")
        self.alertmanager.until_answers(f"http://{address}/-/ready")
        self.prometheus = Prometheus(directory, configuration(house, directory, address, "alerts.yml"))

    def _alertmanager(self, directory: Path) -> Path:
        told = yaml.safe_load((ROOT / "ops" / "alertmanager" / "alertmanager.yml").read_text())
        told["route"] |= {"group_wait": "0s", "group_interval": "1s"}
        for receiver in told["receivers"]:
            receiver["webhook_configs"] = [{"url": f"http://127.0.0.1:{self.webhook.server_port}/{receiver['name']}"}]
        file = directory / "alertmanager.yml"
        file.write_text(yaml.safe_dump(told))
        return file

    def until_told(self, alert: str, seconds: float) -> None:
        wanted = ALERTS[alert]["labels"]["audience"], alert
        deadline = time.monotonic() + seconds
        while wanted not in self.webhook.told:
            now = [(one["labels"], one["state"]) for one in self.prometheus.ask("alerts")["alerts"]]
            assert time.monotonic() < deadline, f"{wanted} was not told of; {now}"
            time.sleep(0.2)

    def stop(self) -> None:
        self.prometheus.stop()
        self.alertmanager.stop()
        self.webhook.shutdown()

    def play(self, steps: str) -> None:
        story = self.directory / "story.yaml"
        story.write_text(HEAD + steps)
        self.house.play(story)

    def announce(self, day: str) -> None:
        with self.house.http("drc") as http:
            http.post("/business-day", json={"date": day}).raise_for_status()

    def command(self, name: str, organisation: str, body: dict[str, Any]) -> int:
        with self.house.http(organisation) as http:
            return http.post(f"/commands/{name}", json=body).status_code

    def pid(self, name: str) -> int:
        found = self.house.stack.pid(name)
        assert found is not None
        return found

    def sql(self, service: str, work: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        """Do ``work`` on a connection of the database's owner, which ends with it."""

        async def run() -> None:
            url = self.house.stack.description["owner_database"].format(service=service).replace("+asyncpg", "")
            connection = await asyncpg.connect(url, ssl=False)
            try:
                await work(connection)
            finally:
                await connection.close()

        asyncio.run(run())

    def locked(self, service: str, table: str, meanwhile: Callable[[], None]) -> None:
        """Do something while nobody can use a table."""

        async def hold(connection: asyncpg.Connection) -> None:
            async with connection.transaction():
                await connection.execute(f"lock table {table} in access exclusive mode")
                await asyncio.to_thread(meanwhile)

        self.sql(service, hold)
