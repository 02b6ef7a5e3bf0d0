"""State as the fold of a service's own events, one row a thing: a document and the columns that rules need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

from shared.contracts.base import Event, Message, Shape

S = TypeVar("S", bound=Shape)


@dataclass(frozen=True)
class Aggregate(Generic[S]):
    """One kind of thing: ``keys`` names those that an event changes, ``evolve`` gives the state after it.

    ``evolve`` uses nothing but state and event, so that an audit can fold the events again. ``reads`` names those that
    deciding on a message will ask for: a batch's are read together; what it leaves out is read when it is asked for.
    What is there ``once`` never changes: the primary key refuses a second one.
    """

    name: str
    table: Table
    model: type[S]
    evolve: Callable[[S | None, Event], S | None]
    keys: Callable[[Event], tuple[str, ...]]
    reads: Callable[[Message], tuple[str, ...]] | None = None
    once: bool = False


def aggregate_table(name: str, metadata: MetaData, *extra: SchemaItem) -> Table:
    """The table of an aggregate: its document and, as generated columns, what queries and constraints need of it."""
    return Table(
        name,
        metadata,
        Column("scheme", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("doc", JSONB, nullable=False),
        *extra,
    )


def named_by(field: str) -> Callable[[Message], tuple[str, ...]]:
    """For ``reads``: the thing that a message names in this field."""

    def keys(message: Message) -> tuple[str, ...]:
        named = message.__dict__.get(field)
        return (named,) if named else ()

    return keys
