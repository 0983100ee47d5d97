"""Connections to PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from yuqing.endpoints import database_url
from yuqing.errors import YuqingError
from yuqing.settings import Settings


class DatabaseAway(YuqingError):
    """PostgreSQL does not answer."""


def sqlalchemy_url(url: str) -> str:
    """A libpq URL with the driver that we use: psycopg 3."""
    return "postgresql+psycopg://" + url.split("://", 1)[1]


def _options(settings: Settings) -> dict[str, object]:
    database = settings.database
    return {
        "pool_size": database.pool_size,
        "pool_pre_ping": True,  # a restarted database is noticed before a statement is lost to it
        "connect_args": {"connect_timeout": database.connect_timeout_s},
    }


def engine(settings: Settings) -> Engine:
    """A pool of synchronous connections. Raises NotConfigured; connecting may raise DatabaseAway (see `connect`)."""
    return create_engine(sqlalchemy_url(database_url(settings)), **_options(settings))


def async_engine(settings: Settings) -> AsyncEngine:
    """A pool of asynchronous connections. Raises NotConfigured."""
    return create_async_engine(sqlalchemy_url(database_url(settings)), **_options(settings))


def reading_engine(settings: Settings) -> AsyncEngine:
    """A pool for single statements: none begins a transaction, and none asks first whether its connection still lives.

    That is half of the way to the database and back for a short query. After a restart of the database one statement fails
    as a disconnection; then the pool opens new connections by itself. Raises NotConfigured.

    Connections are opened as they are needed and kept, three times `pool_size` at most: to make one costs ten short queries.
    The one used last is used next, so that most requests find their statement prepared.
    """
    kept = {"pool_size": 3 * settings.database.pool_size, "max_overflow": 0, "pool_use_lifo": True}
    options = _options(settings) | kept | {"pool_pre_ping": False, "pool_reset_on_return": None}
    return create_async_engine(sqlalchemy_url(database_url(settings)), isolation_level="AUTOCOMMIT", **options)


def away(error: Exception) -> DatabaseAway:
    """The error to show for a refused connection; it names host and reason, never the password."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return DatabaseAway(
        f"PostgreSQL does not answer: {reason}",
        cure="start the embedded services with `yuqing up`, or check YUQING_DATABASE__URL; `yuqing doctor` tells more",
    )


@contextmanager
def transaction(pool: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an error. Raises DatabaseAway when none can be begun."""
    try:
        connection = pool.connect()
    except OperationalError as error:
        raise away(error) from error
    with connection, connection.begin():
        yield connection
