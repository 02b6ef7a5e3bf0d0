"""How pages and the API read: from a pool of connections that cannot write, each statement by itself."""

from functools import cache

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.database import MAX_OVERFLOW, POOL_SIZE

_READ_ONLY = {"server_settings": {"default_transaction_read_only": "on", "jit": "off"}}


@cache
def reads_of(engine: AsyncEngine) -> AsyncEngine:
    """An engine beside the service's own: no BEGIN and ROLLBACK around what is read, the warmest connection first."""
    return create_async_engine(
        engine.url,
        isolation_level="AUTOCOMMIT",
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=10,
        pool_pre_ping=True,
        pool_use_lifo=True,
        connect_args=_READ_ONLY,
    )
