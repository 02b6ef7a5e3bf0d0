"""One service in its own process: `python -m riskpool.serve MODULE:APP PORT MARK`, for the embedded stack."""

import sys
import time
from pathlib import Path

import uvicorn

LOOK_SECONDS = 0.02


def main(application: str, port: int, migrated: Path) -> None:
    """Import the application at once, and serve it on loopback when the file says that the databases are up to date."""
    config = uvicorn.Config(application, port=port, timeout_graceful_shutdown=5, access_log=False)
    config.load()
    while not migrated.exists():
        time.sleep(LOOK_SECONDS)
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        sys.exit(f"{application} did not start")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
