"""Bring the databases of all services, or of those named, to their newest revision: `python -m riskpool.migrate`."""

import os
import sys

from riskpool.services import OWNER_URL, SERVICES
from shared.database import migrate

ROLE = "RISKPOOL_DATABASE_ROLE"


def main(names: list[str]) -> int:
    """Migrate each named service (default all) as the owner in RISKPOOL_OWNER_URL.

    `{service}` in the address, and in RISKPOOL_DATABASE_ROLE (default the service's name), stands for the service.
    """
    address = os.environ.get(OWNER_URL)
    unknown = [name for name in names if name not in SERVICES]
    if not address or unknown:
        wrong = f"no such service: {', '.join(unknown)}" if unknown else f"{OWNER_URL} is not set"
        print(f"riskpool.migrate: {wrong}", file=sys.stderr)
        return 2
    for service in names or SERVICES:
        role = os.environ.get(ROLE, "{service}").replace("{service}", service)
        migrate(service, address.replace("{service}", service), role)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
