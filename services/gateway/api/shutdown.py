"""Knowing that the server is about to stop, so that endless answers end before it has to cut them off."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


class Closing:
    """Set by the first SIGTERM or SIGINT, before the web server's own handler begins to wait for open answers."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to the signals on their way to whoever handled them before; only in the main thread."""
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, Any] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):
                before[number] = signal.getsignal(number)
                signal.signal(number, self._passing_on(loop, before[number]))
        try:
            yield
        finally:
            self.event.set()
            for number, handler in before.items():
                with contextlib.suppress(ValueError):
                    signal.signal(number, handler)

    def _passing_on(self, loop: asyncio.AbstractEventLoop, before: Any) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.event.set)
            if callable(before):
                before(number, frame)
            elif before is not signal.SIG_IGN:
                raise KeyboardInterrupt

        return handle
