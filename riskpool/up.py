"""`riskpool up`: the whole product on this machine, until Ctrl-C."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from riskpool.layout import Layout
from riskpool.stack import Stack
from riskpool.supervisor import StackError

DEFAULT_DATA = Path(".riskpool")
LOADED = "loaded"


class BusinessTime(StrEnum):
    MESSAGE = "message"
    SERVER = "server"


class Up:
    """One run of the command: what it shows while the stack starts, runs and stops."""

    def __init__(self, stack: Stack, demo: bool, verbose: bool) -> None:
        self.stack, self.demo, self.verbose = stack, demo, verbose
        self.console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._password: str | None = None

    async def run(self) -> None:
        """Start, run until Ctrl-C, SIGTERM or a child that keeps ending, and stop."""
        told_to_stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, told_to_stop.set)
        if not await _unless(told_to_stop, self._start()):
            return
        logs = asyncio.create_task(self.stack.show_logs(self._show_line, self.verbose))
        try:
            await _unless(told_to_stop, self._serve())
        finally:
            logs.cancel()
            self.console.print("Stopping …")
            await self.stack.stop()
        self.console.print("Stopped.")

    async def _start(self) -> None:
        with self.console.status("Starting …"):
            await self.stack.start(self._ready, self._make_first_accounts)

    def _ready(self, what: str) -> None:
        self.console.print(f"  [green]ready[/] {what} [dim]{time.monotonic() - self._began:.1f} s[/]")

    async def _make_first_accounts(self) -> None:
        """On the first start: one account of every organisation, and of every institution of the demo."""
        from riskpool.first_accounts import make_first_accounts

        self._password = await make_first_accounts(self.stack, self.demo)
        if self._password:
            self._ready("accounts")

    async def _serve(self) -> None:
        if self.demo:
            await self._load_demo()
        self.console.print(self._where_to_look())
        self.console.print("Ctrl-C stops everything; the data stay.")
        await self.stack.wait()

    async def _load_demo(self) -> None:
        """Play the shipped story once in a data directory."""
        mark = self.stack.place.directory / "demo"
        if mark.exists():
            if mark.read_text() != LOADED:
                self.console.print("Loading the demo data was broken off: delete the data directory to load them anew.")
            return
        mark.write_text("begun")
        from riskpool.demo import load_demo

        with Progress(console=self.console, transient=True) as bar:
            task = bar.add_task("One year of demo data", total=None)
            outcome = await load_demo(self.stack, lambda done, steps, _: bar.update(task, completed=done, total=steps))
        mark.write_text(LOADED)
        if outcome.ok:
            self._ready("demo data")
        for failure in outcome.failed:
            self.console.print(f"The demo story went another way: {failure}", style="yellow", markup=False)

    def _how_to_sign_in(self) -> tuple[tuple[str, str], ...]:
        if self._password is None:
            return ()
        people = "drc, drc-officer, finance, government, scitech …, auditor, operator"
        return (
            ("sign in as", f"{people}, bank-a …" if self.demo else people),
            ("password", f"{self._password}   (for each of them, to be changed at once; not shown again)"),
        )

    def _where_to_look(self) -> Table:
        stack = self.stack
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for what, where in (
            *(("console", f"http://127.0.0.1:{stack.ports[name]}/") for name in stack.layout.of("gateway")),
            *self._how_to_sign_in(),
            ("API and its pages", f"{stack.api_url}/docs"),
            ("metrics", f"/metrics of every service, with the token in {stack.place.metrics_token()}"),
            *(("NATS", f"{node.url}   (monitor {node.monitor_url})") for node in stack.nodes),
            ("logs", str(stack.place.logs)),
            ("data", str(stack.place.directory)),
            ("a token", f"riskpool token create drc --data {stack.place.directory}"),
            ("a user", f"riskpool user add NAME --organisation drc --role officer --data {stack.place.directory}"),
        ):
            table.add_row(f"[bold]{what}[/]", where)
        return table

    def _show_line(self, name: str, line: str) -> None:
        self.console.print(f"{name:>9} | {line}", markup=False)


def up(
    data: Annotated[Path, typer.Option(help="Directory of the data, logs and addresses.")] = DEFAULT_DATA,
    port: Annotated[int, typer.Option(help="Port of the gateway: the API and its pages.")] = 8080,
    nats_port: Annotated[int, typer.Option(help="Port of NATS, for partners.")] = 4222,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Choose free ports for everything.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Load one year of demo data on the first start.")] = False,
    scheme: Annotated[
        list[str] | None, typer.Option(help="Scheme file to serve instead of the shipped one; repeat for several.")
    ] = None,
    clock: Annotated[
        BusinessTime, typer.Option(help="Where business time comes from: this machine, or each message (tests, demos).")
    ] = BusinessTime.SERVER,
    nodes: Annotated[int, typer.Option(help="Servers of the bus: 1, or 3 that keep everything three times.")] = 1,
    replicas: Annotated[int, typer.Option(help="Processes of every service.")] = 1,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show every log line, not only warnings.")] = False,
) -> None:
    """Start the whole product on this machine: NATS, PostgreSQL and the five services."""
    try:
        schemes = [_checked(path) for path in scheme or []]
        ports = {} if free_ports else {"gateway": port, "nats": nats_port}
        business_time = BusinessTime.MESSAGE if demo else clock
        mode: Literal["message", "server"] = "message" if business_time is BusinessTime.MESSAGE else "server"
        stack = Stack(data, ports, schemes, mode, layout=Layout(nodes, replicas))
        asyncio.run(Up(stack, demo, verbose).run())
    except StackError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"riskpool: {error}", markup=False)
        raise typer.Exit(1) from None


def _checked(path: str) -> str:
    """A scheme file that can be read and holds together; what is wrong with it is said before anything starts."""
    from shared.scheme.loader import SchemeError, load_scheme

    try:
        load_scheme(path)
    except (SchemeError, OSError) as error:
        raise StackError(f"The scheme file {path} cannot be used: {error}") from None
    return path


async def _unless(told_to_stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless told to stop first; says whether it was done."""
    task, stop = asyncio.create_task(work), asyncio.create_task(told_to_stop.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return False
    task.result()
    return True
