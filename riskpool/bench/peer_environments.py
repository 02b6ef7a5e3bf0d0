"""The environments of the libraries that `riskpool bench` is held against: made once from their locks, then kept."""

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import riskpool

SCRIPTS = Path(riskpool.__file__).parents[1] / "bench"
MAKING_SECONDS = 600.0


class NotMeasurable(Exception):
    """This machine cannot run a peer; the words say why."""


async def environment(library: str, cache: Path) -> list[str]:
    """The command that runs the peer's script; its environment is made in ``cache`` when it is not there."""
    source = SCRIPTS / library
    if not source.is_dir():
        raise NotMeasurable("the scripts of the peers are not in an installed riskpool, only in its source")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    place = (cache / library).resolve()
    if (source / "package.json").exists():
        return await _node(source, place)
    return await _python(source, place)


async def _python(source: Path, place: Path) -> list[str]:
    lock, build_lock = source / "requirements.lock", source / "build.lock"
    python = str(place / "bin" / "python")
    install = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--require-hashes",
    ]
    if not _is_made(place, lock):
        shutil.rmtree(place, ignore_errors=True)
        await _make([sys.executable, "-m", "venv", str(place)])
        if build_lock.exists():  # a library that has no wheel is built with pinned tools, not with what pip would fetch
            await _make([*install, "-r", str(build_lock)])
        await _make([*install, "--use-pep517", "--no-build-isolation", "-r", str(lock)])
        _keep(place, lock)
    return [python, str(source / "run.py")]


async def _node(source: Path, place: Path) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotMeasurable("no Node")
    lock = source / "package-lock.json"
    if not _is_made(place, lock):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(source / name, place)
        await _make([npm, "ci", "--ignore-scripts", "--prefix", str(place)])
        _keep(place, lock)
    shutil.copy(source / "run.mjs", place)  # Node looks for packages beside the script
    return [node, str(place / "run.mjs")]


def _is_made(place: Path, lock: Path) -> bool:
    stamp = place / "lock.sha256"
    return stamp.exists() and stamp.read_text() == _fingerprint(lock)


def _keep(place: Path, lock: Path) -> None:
    (place / "lock.sha256").write_text(_fingerprint(lock))


def _fingerprint(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


async def _make(command: Sequence[str]) -> None:
    code, _, complaint = await run(command, os.environ, MAKING_SECONDS)
    if code != 0:
        last = complaint.strip().splitlines()[-1:] or ["no reason given"]
        raise NotMeasurable(f"its environment could not be made: {last[0]}")


async def run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int, str, str]:
    """Exit code, output and error output; a command that takes longer than ``seconds`` is killed."""
    process = await asyncio.create_subprocess_exec(
        *command, env=dict(environment), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        return -1, "", f"not done after {seconds:.0f} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace"), errors.decode(errors="replace")
