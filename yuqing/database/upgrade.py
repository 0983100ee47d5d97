"""Brings a database to the tables that this release needs."""

import time
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from yuqing.database.session import away, sqlalchemy_url
from yuqing.errors import YuqingError
from yuqing.telemetry import get_logger

log = get_logger(__name__)

_LOCK = "SELECT pg_advisory_lock(hashtext('yuqing.upgrade'))"
MIGRATIONS = Path(__file__).parent / "migrations"
_POLL_S = 2.0


class NotUpgraded(YuqingError):
    """The database has not the tables that this release needs."""


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


def wait_for_latest(url: str, seconds: float) -> str:
    """Return the database's revision once it is one that this release can work with: its own, or one that it does not know (newer).

    A release is rolled back without its database; migrations leave the former release working. A database that does not answer
    yet is waited for, too. Raises NotUpgraded after `seconds`.
    """
    pool = create_engine(sqlalchemy_url(url), connect_args={"connect_timeout": 5})
    end, told = time.monotonic() + seconds, ""
    try:
        while True:
            try:
                with pool.connect() as connection:
                    revision = current(connection)
            except OperationalError as error:
                revision, problem = None, away(error).message
            else:
                if revision and (revision == latest() or revision not in _known()):
                    return revision
                problem = f"it is at revision {revision or 'none'}, this release needs {latest()}"
            if time.monotonic() >= end:
                raise NotUpgraded(
                    f"the database was not upgraded in {seconds:g} s: {problem}",
                    cure="run `yuqing db upgrade` (in a cluster the Job migrate does), or see why it fails",
                )
            if problem != told:
                log.info("waiting for the database", reason=problem)
                told = problem
            time.sleep(_POLL_S)
    finally:
        pool.dispose()


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


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
