"""The floor under the console: FastAPI and Jinja at their plainest, in one process of uvicorn, beside the gateway."""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from riskpool.supervisor import StackError

READY_WAIT_S = 20.0
# A page of so many rows from memory; a stream of news that a POST wakes. Nobody signs in, nothing is stored.
_APPLICATION = '''
import asyncio
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment

app = FastAPI()
page = Environment(autoescape=True).from_string(
    "<!doctype html><title>plain</title><table>{% for row in rows %}<tr>"
    "{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>\\n{% endfor %}</table>"
)
row = ["91110119001X1Z", "延庆农业科技有限公司", "5,000,000.00", "2026-01-05", "rated"]
news = asyncio.Event()

@app.get("/")
async def plain(rows: int) -> HTMLResponse:
    return HTMLResponse(page.render(rows=[row] * rows))

@app.post("/tell")
async def tell() -> dict:
    global news
    news.set()
    news = asyncio.Event()
    return {}

@app.get("/live")
async def live() -> StreamingResponse:
    async def stream():
        yield b": connected\\n\\n"
        while True:
            await news.wait()
            yield b"event: news\\ndata: pool\\n\\n"
    return StreamingResponse(stream(), media_type="text/event-stream")
'''


@contextlib.asynccontextmanager
async def plain_server() -> AsyncIterator[str]:
    """Its address while it runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "plain.py").write_text(_APPLICATION, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uvicorn", "plain:app", "--port", str(port), "--no-access-log", "--log-level",
            "critical", "--timeout-graceful-shutdown", "1", cwd=directory, env=dict(os.environ),
        )  # fmt: skip
        try:
            await _until_ready(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_WAIT_S
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                await client.get("/", params={"rows": 1})
                return
            if time.monotonic() > deadline:
                raise StackError(f"The plain page beside the console has not started within {READY_WAIT_S:.0f} s.")
            await asyncio.sleep(0.05)
