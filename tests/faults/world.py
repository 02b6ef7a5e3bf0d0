"""The whole product in this process's care, with links that can fail before its servers and a small disk under them."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from riskpool.layout import Layout
from riskpool.mischief import MischiefProxy
from riskpool.scenario.doors import Doors, open_doors
from riskpool.scenario.embedded import make_tokens
from riskpool.stack import Stack
from tests.conftest import free_port
from tests.faults.books import Books, as_owner, books_of
from tests.faults.business import Business, Reached, undisturbed
from tests.faults.cast import ORGANISATIONS, cast_of
from tests.faults.links import Link
from tests.faults.partners import Mischief

DISK = "512m"


class LinkedStack(Stack):
    """A stack whose services reach the database through a link."""

    database_port: int

    def database_url(self, service: str) -> str:
        """The address of a service's database, through the link."""
        return super().database_url(service).replace(f":{self.ports['postgres']}/", f":{self.database_port}/")


@dataclass
class Year:
    """A year that was played: what it left, what partners sent, how long it took."""

    business: Business
    books: Books
    mischief: Mischief
    seconds: float


@dataclass
class World:
    """A running stack, its links by name, those of each node apart, and its small disk where there can be one."""

    stack: Stack
    links: dict[str, Link]
    disk: Path | None
    proxies: dict[str, MischiefProxy]
    counts: dict[str, int]

    async def year(
        self, scheme: str, seed: int, enterprises: int, *, calm: bool = False, reached: Reached = undisturbed
    ) -> Year:
        """Play the year of a seed in a scheme; unless calm, partners and the bus send things twice and late."""
        partners = [link for name, link in self.links.items() if name.startswith("partners")]
        mischief = Mischief(seed, lambda: addresses(partners), calm=calm)
        began = time.monotonic()
        async with self.doors(scheme, mischief) as doors:
            business = Business(doors, seed, cast_of(seed, enterprises), reached)
            await business.year()
            return Year(business, await books_of(self.stack, doors, business), mischief, time.monotonic() - began)

    @asynccontextmanager
    async def doors(self, scheme: str, mischief: Mischief) -> AsyncIterator[Doors]:
        """The doors of a scheme for everybody who takes part in a year."""
        tokens = await make_tokens(self.stack.postgres.url("gateway"), scheme, ORGANISATIONS)
        url = self.stack.api_url, self.stack.nats_url
        async with open_doors(*url, scheme, tokens, connect=mischief.connect) as doors:
            yield doors

    async def disturb_bus(self, seed: int) -> None:
        """From now on the services meet a bus that delivers everything twice and late."""
        for name, proxy in self.proxies.items():
            self.links[name].target = int(proxy.url.rpartition(":")[2])
            await self.links[name].cut(0)


def addresses(links: Iterable[Link]) -> str:
    """Where the bus is reached through links, as a client is told it."""
    return ",".join(f"nats://127.0.0.1:{link.port}" for link in links)


@asynccontextmanager
async def world(schemes: Sequence[Path], seed: int, layout: Layout) -> AsyncIterator[World]:
    """A stack of its own for some schemes, ended and deleted in the end."""
    directory = Path(tempfile.mkdtemp(prefix="riskpool-faults-"))
    directory.chmod(0o711)
    ports = {name: free_port() for name in (*layout.bus, "postgres")}
    async with AsyncExitStack() as ends:
        ends.callback(shutil.rmtree, directory, ignore_errors=True)
        disk = _small_disk(directory / "data" / "postgres", ends)
        of_nodes = {f"{way}{node.removeprefix('nats')}": node for way in ("bus", "partners") for node in layout.bus}
        names = {**of_nodes, "database": "postgres"}
        links = {name: await ends.enter_async_context(Link(ports[server])) for name, server in names.items()}
        proxies, counts = {}, dict[str, int]()
        for name in (name for name in links if name.startswith("bus")):
            upstream = f"nats://127.0.0.1:{ports[names[name]]}"
            proxies[name] = MischiefProxy(upstream, shuffle=seed, max_delay=0.02, counts=counts)
            await ends.enter_async_context(proxies[name])
        bus = {"RISKPOOL_NATS_URL": addresses(links[name] for name in proxies)}
        stack = LinkedStack(directory / "data", ports, schemes, "message", bus, layout)
        stack.database_port = links["database"].port
        await stack.start()
        ends.push_async_callback(stack.stop)
        if disk is not None:  # what PostgreSQL keeps for its own recovery must fit on it
            await as_owner(stack, "postgres", "alter system set max_wal_size = '96MB'")
            await as_owner(stack, "postgres", "select pg_reload_conf()")
        yield World(stack, links, disk, proxies, counts)


def _small_disk(place: Path, ends: AsyncExitStack) -> Path | None:
    """A file system of its own under the database, which only root can make."""
    if os.geteuid():
        return None
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    if subprocess.run(mount, check=False).returncode:
        return None
    ends.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
    return place
