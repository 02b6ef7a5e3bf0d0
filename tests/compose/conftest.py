"""An engine for the tests, and the whole platform on it, started as docs/containers.md says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.test_docs import LENDING, blocks

ROOT = Path(__file__).parents[2]
# A private engine for machines that have none; where it is not there, the machine's own engine is used.
LAB = ROOT.parent / "shared" / "tools" / "compose-lab.sh"
LAB_PROGRAMS = Path(os.environ.get("COMPOSE_LAB_DIR", "/var/tmp/compose-lab")) / "pkg/usr/bin"
PROJECT = "riskpool-test"
PORT, PROMETHEUS_PORT, NATS_PORT = 18080, 19090, 14222
STORY = f"scheme: yanqing\nuse: {LENDING}\nsteps:\n  - {{on: 2026-01-05, play: open-fund}}\n"
SHIPPED = (
    "Dockerfile", "docker-compose.yml", ".dockerignore", ".env.example", "pyproject.toml", "ops", "requirements",
    "riskpool", "services", "shared",
)  # fmt: skip


class Platform:
    """The compose project as an operator has it: a directory with what is shipped; name and ports are the test's."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in SHIPPED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place / name)
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:{LAB_PROGRAMS}",
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_PROFILES": "ops",
            "RISKPOOL_CLOCK": "message",
            "GATEWAY_PORT": str(PORT),
            "PROMETHEUS_PORT": str(PROMETHEUS_PORT),
            "NATS_PORT": str(NATS_PORT),
        }

    def lab(self, *words: str) -> str:
        return self._run(str(LAB), *words)

    def compose(self, *words: str) -> str:
        return self.inside("docker", "compose", *words)

    def shell(self, script: str) -> str:
        """What a document tells an operator to type."""
        return self.inside("bash", "-euo", "pipefail", "-c", script)

    def inside(self, *command: str) -> str:
        """Run a command where the engine and the published port are."""
        return self._run(*((str(LAB), "run") if LAB.exists() else ()), *command)

    def open_fund(self) -> None:
        """Capital and partners' agreements."""
        (self.place / "story.yaml").write_text(STORY)
        create = ("exec", "-T", "gateway", "python", "-m", "riskpool", "token", "create")
        tokens = [f"{one}: {self.compose(*create, one).strip()}\n" for one in ("drc", "finance")]
        (self.place / "tokens.yaml").write_text("".join(tokens))
        tell = (sys.executable, "-m", "riskpool", "scenario", "story.yaml", "--tokens", "tokens.yaml")
        self.inside(*tell, "--url", f"http://127.0.0.1:{PORT}")

    def state(self) -> dict[str, dict[str, Any]]:
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {one["Service"]: one for one in map(json.loads, lines)}

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            told = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{told}")
        return done.stdout


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An engine that has the base images, and the wheels where a build cannot reach a package registry."""
    platform = Platform(tmp_path_factory.mktemp("riskpool"))
    if not LAB.exists():
        yield platform
        return
    try:
        platform.inside("docker", "version")
        was_running = True
    except AssertionError:
        was_running = False
    platform.lab("up", "docker-compose.yml")
    platform.lab("wheels", "requirements/runtime.lock")
    yield platform
    if not was_running:
        platform.lab("down")


@pytest.fixture(scope="module")
def platform(engine: Platform) -> Iterator[Platform]:
    down = ("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20")
    engine.compose(*down)
    try:
        make_secrets, start = blocks("docs/containers.md", "sh")
        engine.shell(make_secrets)
        try:
            engine.shell(start)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{engine.compose('logs', '--no-color', '--tail', '40')}") from None
        yield engine
    finally:
        engine.compose(*down)
