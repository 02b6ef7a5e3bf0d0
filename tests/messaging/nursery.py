"""Forks services from one process that has imported everything, so that a start after kill -9 takes no seconds.

Reads one JSON object a line, ``{service, port, environment, log}``, and answers with a process id. At the end of its
input it kills what it started.
"""

import contextlib
import json
import os
import signal
import sys

import uvicorn

from tests.messaging import impatient


def serve(service: str, port: int, environment: dict[str, str], log: str) -> None:
    """Be that service, in a child process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    uvicorn.run(impatient.SERVICES[service].asgi(), port=port, access_log=False)


def main() -> None:
    """One child a line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped at once
    children = []
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            serve(**json.loads(line))
            os._exit(0)
        children.append(child)
        print(child, flush=True)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
