"""What a stack is made of, by name: one process of everything, or several nodes of the bus and replicas of services."""

from dataclasses import dataclass

from riskpool.services import SERVICES
from riskpool.supervisor import StackError

NODES = (1, 3)
MOST_REPLICAS = 8


@dataclass(frozen=True)
class Layout:
    """So many nodes of the bus, and so many processes of every service; the first of each is named as the only one."""

    nodes: int = 1
    replicas: int = 1

    def __post_init__(self) -> None:
        if self.nodes not in NODES:
            raise StackError(f"The bus has one node, or three: of {self.nodes} no majority outlives one more.")
        if not 1 <= self.replicas <= MOST_REPLICAS:
            raise StackError(f"There can be 1 to {MOST_REPLICAS} replicas of every service, not {self.replicas}.")

    @property
    def bus(self) -> tuple[str, ...]:
        """The nodes of the bus."""
        return _several("nats", self.nodes)

    def of(self, service: str) -> tuple[str, ...]:
        """The processes of a service."""
        return _several(service, self.replicas)

    @property
    def services(self) -> tuple[str, ...]:
        """The processes of all services."""
        return tuple(name for service in SERVICES for name in self.of(service))

    @property
    def ports(self) -> tuple[str, ...]:
        """Every port that is listened on."""
        routes = tuple(f"{name}-routes" for name in self.bus) if self.nodes > 1 else ()
        return (*self.services, *(port for name in self.bus for port in (name, f"{name}-monitor")), *routes, "postgres")


def service_of(process: str) -> str:
    """The service that a process is one of; empty for a server."""
    name = process.partition("-")[0]
    return name if name in SERVICES else ""


def _several(name: str, count: int) -> tuple[str, ...]:
    return (name, *(f"{name}-{number}" for number in range(2, count + 1)))
