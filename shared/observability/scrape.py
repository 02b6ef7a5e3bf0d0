"""What a service answers at /metrics: what it counted, and what is read for the answer, within a time limit.

Every replica of a service reads the same database and so shows the same gauges: aggregate them with ``max by``, and
what is counted with ``sum by`` (docs/metrics.md).
"""

import asyncio
import hmac
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from shared.observability.figures import REGISTRY

log = logging.getLogger("riskpool.metrics")
SETTING = "RISKPOOL_METRICS_TOKEN"
READ_SECONDS = 2.0
Reading = Callable[[], Awaitable[Iterable[Metric]]]


class Scrape:
    """Answers for one process. ``readings`` are what it reads for an answer, by name; a reading that fails or takes
    longer than two seconds is left out, and ``riskpool_figures_fresh`` says so.
    """

    def __init__(self) -> None:
        self.readings: dict[str, Reading] = {}

    async def answer(self, request: Request) -> Response:
        """The figures, for who brings the token of ``RISKPOOL_METRICS_TOKEN``; without such a setting for nobody."""
        token = _token()
        if token is None:
            return Response("no metrics here: RISKPOOL_METRICS_TOKEN is not set\n", 404, media_type="text/plain")
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
            return Response("\n", 401, {"WWW-Authenticate": "Bearer"}, "text/plain")
        return Response(await self.text(), headers={"Cache-Control": "no-store"}, media_type=CONTENT_TYPE_LATEST)

    async def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        found = await asyncio.gather(*(self._read(name, reading) for name, reading in self.readings.items()))
        fresh = GaugeMetricFamily(
            "riskpool_figures_fresh", "1 when these figures could be read for this answer", labels=["reading"]
        )
        for name, metrics in zip(self.readings, found, strict=True):
            fresh.add_metric([name], int(metrics is not None))
        read = [metric for metrics in found for metric in metrics or ()]
        return generate_latest(REGISTRY) + generate_latest(_Read([*read, fresh]))

    async def _read(self, name: str, reading: Reading) -> list[Metric] | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return list(await reading())
        except Exception as error:
            log.warning("figures not read", extra={"reading": name, "error": repr(error)[:300]})
            return None


class _Read(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def gauge(name: str, told: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(name, told, value=value)


def gauges(
    name: str, told: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    """A gauge with labels."""
    family = GaugeMetricFamily(name, told, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _token() -> str | None:
    """The setting is the path of a file that holds the token, or the token itself."""
    named = os.environ.get(SETTING, "")
    if "/" not in named:
        return named.strip() or None
    return (Path(named).read_text("ascii").strip() or None) if Path(named).exists() else None
