"""The supervisor with small real processes."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from yuqing.embedded import ports
from yuqing.embedded.supervisor import Service, ServiceFailed, Supervisor


def _service(command: str, ready: Callable[[], bool], timeout_s: float = 20) -> Service:
    return Service("thing", [sys.executable, "-c", command], ready, timeout_s)


def _wait(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_service_that_ends_before_it_is_ready_is_named_with_its_last_lines(tmp_path: Path) -> None:
    supervisor = Supervisor([_service("print('no licence'); raise SystemExit(3)", lambda: False)], tmp_path, 5, None)
    supervisor.start()
    with pytest.raises(ServiceFailed, match=r"thing ended with status 3[\s\S]*no licence"):
        supervisor.wait_until_ready()
    supervisor.stop()


def test_a_service_that_never_answers_is_named(tmp_path: Path) -> None:
    supervisor = Supervisor([_service("import time; time.sleep(60)", lambda: False, 0.5)], tmp_path, 5, None)
    supervisor.start()
    with pytest.raises(ServiceFailed, match="thing is not ready after"):
        supervisor.wait_until_ready()
    supervisor.stop()


def test_a_killed_service_is_started_again_with_its_grandchildren_gone(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}} {{child.pid}}\\n')\n"
        "time.sleep(60)"
    )
    supervisor = Supervisor([_service(program, pids.exists)], tmp_path / "logs", 5, None)
    supervisor.start()
    supervisor.wait_until_ready()
    first, grandchild = map(int, pids.read_text().split())
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.check()
        return len(pids.read_text().splitlines()) == 2

    _wait(is_back)
    _wait(lambda: not _is_alive(grandchild))
    second = [int(pid) for pid in pids.read_text().split()[2:]]
    supervisor.stop()
    _wait(lambda: not any(_is_alive(pid) for pid in second))


def test_a_service_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = f"open({str(started)!r}, 'a').write('x'); import time; time.sleep(0.2)"
    supervisor = Supervisor([_service(program, started.exists)], tmp_path / "logs", 5, None)
    supervisor.start()
    supervisor.wait_until_ready()
    with pytest.raises(ServiceFailed, match="died 6 times"):
        _wait(lambda: not supervisor.check() and False, 60)
    supervisor.stop()


def test_a_taken_port_is_replaced() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ports.choose(port) != port
        assert ports.answers(port)
    assert ports.choose(port) == port
