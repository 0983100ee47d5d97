"""Brings a database to the tables that this release needs."""

from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from yuqing.database.session import away, sqlalchemy_url

_LOCK = "SELECT pg_advisory_lock(hashtext('yuqing.upgrade'))"
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> str:
    """Run the missing migrations, one process at a time; returns the revision reached. Raises DatabaseAway."""
    pool = create_engine(sqlalchemy_url(url), connect_args={"connect_timeout": 5})
    try:
        with pool.connect() as connection:
            connection.execute(text(_LOCK))
            connection.commit()
            _run(connection)
            return current(connection) or ""
    except OperationalError as error:
        raise away(error) from error
    finally:
        pool.dispose()


def _run(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


def current(connection: Connection) -> str | None:
    """The revision that the database is at, or None for one without tables."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """The revision that this release needs."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS)).get_current_head() or ""
