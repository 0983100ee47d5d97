"""Keeps child processes running: starts, watches, restarts and stops them, and shows what they print."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Counter, Gauge

from yuqing.embedded import processes
from yuqing.errors import YuqingError
from yuqing.telemetry import get_logger

log = get_logger("supervisor")
_READY = Gauge("yuqing_service_ready", "1 while an embedded service answers", ["service"])
_RESTARTED = Counter(
    "yuqing_service_restarts_total", "Times that an embedded service died and was started again", ["service"]
)

# A child that dies this often within this time is broken, not unlucky.
_RESTARTS = 5
_RESTARTS_WITHIN_S = 120.0
_TAIL_LINES = 15
_LOG_BYTES = 16 * 2**20


class ServiceFailed(YuqingError):
    """A service did not start, or kept dying; the message ends with the last lines that it printed."""


@dataclass(frozen=True)
class Service:
    """What to run and how to know that it works."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    start_timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    before_start: Callable[[], None] = lambda: None
    after_start: Callable[[], None] = lambda: None


@dataclass
class _Running:
    service: Service
    child: subprocess.Popen[bytes]
    started: float
    ready: bool = False
    ever_ready: bool = False
    tail: list[str] = field(default_factory=list)
    deaths: list[float] = field(default_factory=list)


class Supervisor:
    """Owns the children. Call everything from the main thread: children die with the thread that started them."""

    def __init__(
        self, services: Sequence[Service], logs: Path, stop_timeout_s: float, show: Callable[[str, str], None] | None
    ) -> None:
        """`logs` receives one file a service; `show(name, line)` gets each line too."""
        self._services = services
        self._logs = logs
        self._stop_timeout_s = stop_timeout_s
        self._show = show
        self._running: dict[str, _Running] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start all services side by side; returns at once. See `wait_until_ready`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for service in self._services:
            self._running[service.name] = self._launch(service)

    def _launch(self, service: Service) -> _Running:
        service.before_start()
        child = processes.start(service.command, environment=service.environment, death_signal=service.stop_signal)
        running = _Running(service, child, time.monotonic())
        threading.Thread(target=self._copy_output, args=(running,), daemon=True).start()
        log.info("starting", service=service.name, pid=child.pid)
        return running

    def _copy_output(self, running: _Running) -> None:
        path = self._logs / f"{running.service.name}.log"
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        assert running.child.stdout is not None
        with path.open("ab", buffering=0) as file:
            for raw in running.child.stdout:
                file.write(raw)
                line = raw.decode("utf-8", "replace").rstrip()
                running.tail = [*running.tail[-_TAIL_LINES + 1 :], line]
                if self._show:
                    self._show(running.service.name, line)

    def _failure(self, running: _Running, what: str) -> ServiceFailed:
        name = running.service.name
        tail = "\n    ".join(running.tail) or "(it printed nothing)"
        return ServiceFailed(f"{name} {what}. Its last lines:\n    {tail}", cure=f"see {self._logs / name}.log")

    def check(self) -> bool:
        """Look after every child once: note who is ready, restart who died. Returns whether all are ready.

        Raises ServiceFailed for a service that does not get ready in time or dies again and again.
        """
        for name, running in self._running.items():
            status = running.child.poll()
            if status is not None:
                self._running[name] = self._restart(running, status)
            elif not running.ready:
                if running.service.is_ready():
                    running.service.after_start()
                    running.ready = True
                    _READY.labels(name).set(1)
                    log.info("ready", service=name, seconds=round(time.monotonic() - running.started, 1))
                elif time.monotonic() - running.started > running.service.start_timeout_s:
                    raise self._failure(running, f"is not ready after {running.service.start_timeout_s:.0f} s")
        return all(running.ready for running in self._running.values())

    def _restart(self, running: _Running, status: int) -> _Running:
        processes.kill_group(running.child.pid)
        # One early end is forgiven: a port may have been taken between being chosen and being bound.
        ever_ready = running.ready or running.ever_ready
        if not ever_ready and running.deaths:
            raise self._failure(running, f"ended with status {status} before it was ready")
        now = time.monotonic()
        deaths = [death for death in running.deaths if now - death < _RESTARTS_WITHIN_S] + [now]
        if len(deaths) > _RESTARTS:
            raise self._failure(running, f"died {len(deaths)} times in {_RESTARTS_WITHIN_S:.0f} s")
        log.warning("died, restarting", service=running.service.name, status=status)
        time.sleep(min(0.2 * 2 ** len(deaths), 5))
        fresh = self._launch(running.service)
        _RESTARTED.labels(running.service.name).inc()
        fresh.deaths, fresh.ever_ready = deaths, ever_ready
        return fresh

    def wait_until_ready(self) -> None:
        """Block until all services are ready or `request_stop` was called. Raises ServiceFailed."""
        while not self._stopping.is_set() and not self.check():
            time.sleep(0.1)

    def watch(self) -> None:
        """Look after the services until `request_stop`. Raises ServiceFailed."""
        while not self._stopping.wait(0.5):
            self.check()

    def request_stop(self) -> None:
        """Make `watch` and `wait_until_ready` return; safe in a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """End all children, the last started first; kills what does not end in time."""
        for running in reversed(list(self._running.values())):
            processes.stop(running.child, running.service.stop_signal, self._stop_timeout_s)
            log.info("stopped", service=running.service.name)
        self._running.clear()
