"""The embedded services: which are needed, with which passwords and ports, and how `yuqing up` runs them."""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from yuqing.embedded import ports, postgres, seaweedfs
from yuqing.embedded.supervisor import Service, Supervisor
from yuqing.endpoints import S3Endpoint, services_file
from yuqing.errors import YuqingError
from yuqing.settings import Settings

NAMES = ("database", "s3", "llm")

# Times that the lock is tried for, .05 s apart, while nobody who holds it gives a process id.
_ASKED_MEANWHILE = 20


class AlreadyRunning(YuqingError):
    """Another `yuqing up` holds the data folder."""


def needed(settings: Settings, only: Sequence[str] = NAMES) -> list[str]:
    """The embedded services to start: those asked for, without those that a setting points elsewhere."""
    unknown = set(only) - set(NAMES)
    if unknown:
        raise YuqingError(f"there is no service {', '.join(sorted(unknown))}", cure=f"choose from {', '.join(NAMES)}")
    external = {"database": settings.database.url, "s3": settings.s3.access_key, "llm": settings.llm.url}
    return [name for name in NAMES if name in only and not external[name]]


def _write_private(path: Path, content: Any) -> None:
    partial = path.with_name(path.name + ".part")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=1)
    partial.replace(path)


def _passwords(settings: Settings) -> dict[str, str]:
    """The passwords, made the first time and kept: the data folder's contents depend on them."""
    path = settings.state / "secrets.json"
    names = ("database", "s3_access_key", "s3_secret_key", "llm")
    try:
        known: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        known = {}
    except ValueError as error:
        raise YuqingError(
            f"{path} cannot be read: {error}", cure="restore it: without it the embedded database cannot be opened"
        ) from None
    missing = {name: secrets.token_hex(24) for name in names if name not in known}
    if missing:
        known |= missing
        _write_private(path, known)
    return known


def _took(lock: IO[str], settings: Settings) -> bool:
    """Whether the lock is now ours. Who only asks for the holder, as `running_supervisor` does, has it for a moment."""
    for _ in range(_ASKED_MEANWHILE):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if running_supervisor(settings) is not None:
                return False
        time.sleep(0.05)
    return False


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the data folder's lock; the file tells the holder's process id. Raises AlreadyRunning."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.state / "supervisor.lock").open("a+") as lock:
        if not _took(lock, settings):
            raise AlreadyRunning(
                f"the services of {settings.state} are already running (process {running_supervisor(settings)})",
                cure="use them, or stop them with `yuqing down`",
            )
        lock.truncate(0)
        # What one that was killed left behind would pass for this one's as soon as the lock names a process.
        _ready_file(settings).unlink(missing_ok=True)
        services_file(settings).unlink(missing_ok=True)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def running_supervisor(settings: Settings) -> int | None:
    """The process id of the `yuqing up` that holds the data folder, or None."""
    try:
        with (settings.state / "supervisor.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


@dataclass(frozen=True)
class Plan:
    """The services to run and the addresses to write into services.json."""

    services: list[Service]
    addresses: dict[str, dict[str, Any]]


def plan(settings: Settings, names: Sequence[str]) -> Plan:
    """Choose ports and build each service's command. Raises YuqingError when a package is missing."""
    passwords = _passwords(settings)
    services: list[Service] = []
    addresses: dict[str, dict[str, Any]] = {}
    if "database" in names:
        service, addresses["database"] = _database(settings, passwords["database"])
        services.append(service)
    if "s3" in names:
        service, addresses["s3"] = _s3(settings, passwords["s3_access_key"], passwords["s3_secret_key"])
        services.append(service)
    if "llm" in names:
        service, addresses["llm"] = _llm(settings, passwords["llm"])
        services.append(service)
    return Plan(services, addresses)


def _database(settings: Settings, password: str) -> tuple[Service, dict[str, Any]]:
    port, folder = ports.choose(settings.embedded.postgres_port), settings.state / "postgres"

    def prepare() -> None:
        postgres.initialise(folder, password)
        postgres.clear_stale_lock(folder)

    def upgrade() -> None:
        from yuqing.database.upgrade import upgrade

        upgrade(postgres.url(port, password))

    service = Service(
        name="database",
        command=postgres.command(folder, port),
        is_ready=lambda: postgres.is_ready(port, password),
        start_timeout_s=settings.embedded.start_timeout_s,
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
        before_start=prepare,
        after_start=upgrade,
    )
    return service, {"url": postgres.url(port, password)}


def _s3(settings: Settings, access_key: str, secret_key: str) -> tuple[Service, dict[str, Any]]:
    port, folder = ports.choose(settings.embedded.s3_port), settings.state / "s3"
    probe = S3Endpoint(
        endpoint=f"http://{ports.HOST}:{port}",
        bucket=settings.s3.bucket,
        prefix="",
        region=settings.s3.region,
        access_key=access_key,
        secret_key=secret_key,
        attempts=1,
    )
    service = Service(
        name="s3",
        command=seaweedfs.command(folder, port),
        environment=seaweedfs.environment(access_key, secret_key),
        is_ready=lambda: ports.answers(port) and seaweedfs.is_ready(probe),
        start_timeout_s=settings.embedded.start_timeout_s,
        before_start=lambda: folder.mkdir(parents=True, exist_ok=True),
    )
    return service, {"endpoint": probe.endpoint, "access_key": access_key, "secret_key": secret_key}


def _llm(settings: Settings, api_key: str) -> tuple[Service, dict[str, Any]]:
    from yuqing.embedded import vllm

    port = ports.choose(settings.embedded.llm_port)
    url = f"http://{ports.HOST}:{port}/v1"
    service = Service(
        name="llm",
        command=[sys.executable, "-m", "yuqing", "llm", "serve", "--host", ports.HOST, "--port", str(port)],
        # Who stops everything does not wait for answers: jobs that are cut off go back to their queue.
        environment={"YUQING_LLM__API_KEY": api_key, "YUQING_LLM__DRAIN_S": "0"},
        is_ready=lambda: vllm.is_ready(url, api_key, settings.llm.model),
        start_timeout_s=settings.embedded.llm_start_timeout_s,
    )
    return service, {"url": url, "api_key": api_key, "model": settings.llm.model}


def up(
    settings: Settings,
    only: Sequence[str] = NAMES,
    *,
    show: Callable[[str, str], None] | None = None,
    when_ready: Callable[[dict[str, dict[str, Any]]], None] = lambda _addresses: None,
) -> None:
    """Run the services until SIGTERM or Ctrl-C. Raises AlreadyRunning, ServiceFailed."""
    names = needed(settings, only)
    with _only_one(settings):
        planned = plan(settings, names)
        noted = [replace(service, after_start=_noting(settings, service)) for service in planned.services]
        supervisor = Supervisor(noted, settings.state / "logs", settings.embedded.stop_timeout_s, show)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.request_stop())
        try:
            _write_private(services_file(settings), planned.addresses)
            supervisor.start()
            supervisor.wait_until_ready()
            when_ready(planned.addresses)
            supervisor.watch()
        finally:
            supervisor.stop()
            _ready_file(settings).unlink(missing_ok=True)
            services_file(settings).unlink(missing_ok=True)


def _ready_file(settings: Settings) -> Path:
    return settings.state / "ready.json"


def _ready(settings: Settings) -> list[str]:
    try:
        names: list[str] = json.loads(_ready_file(settings).read_text())
    except (FileNotFoundError, ValueError):
        return []
    return names


def _noting(settings: Settings, service: Service) -> Callable[[], None]:
    """What follows a service's start, and then a note in ready.json for `are_ready`."""

    def note() -> None:
        service.after_start()
        _write_private(_ready_file(settings), sorted({*_ready(settings), service.name}))

    return note


def are_ready(settings: Settings, only: Sequence[str] = NAMES) -> bool:
    """Whether a running `yuqing up` has seen all the services that are needed answer."""
    if running_supervisor(settings) is None:
        return False
    return set(needed(settings, only)) <= set(_ready(settings))


def up_detached(settings: Settings, only: Sequence[str] = NAMES) -> subprocess.Popen[bytes]:
    """Start `yuqing up` in the background with its log in <data_dir>/logs/supervisor.log."""
    logs = settings.state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "yuqing", "up", "--only", ",".join(only)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"YUQING_DATA_DIR": str(settings.state)},
        )


def down(settings: Settings, timeout_s: float = 60) -> bool:
    """Stop the running services and wait; False when none run. Raises YuqingError when they do not end."""
    pid = running_supervisor(settings)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while running_supervisor(settings) is not None:
        if time.monotonic() > deadline:
            raise YuqingError(f"process {pid} does not end", cure=f"look into {settings.state / 'logs'}")
        time.sleep(0.1)
    return True
