"""The parent of the language model's server, with small real processes in the server's place."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from llm import keeper
from tests import kubelet
from tests.own_port import own_port
from yuqing.embedded import processes

HOST = "127.0.0.1"
# A server with an engine of its own, as vLLM's; both note their numbers. `answer` opens its port.
SERVER = """
import os, signal, socket, subprocess, sys, time
def answer():
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        connection, _ = listening.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
        connection.close()
        print("asked", flush=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
"""
# A process that leaves the server's group and loses its parent.
STRAY = """
program = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)"
subprocess.run([sys.executable, "-c", program])
"""
LOADS = SERVER + STRAY + "print('loads', flush=True)\ntime.sleep(600)\n"
ENDS = SERVER + STRAY + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nanswer()\n"
LINGERS = SERVER + "answer()\n"


def command(port: int, program: str, loading_s: float, answering_s: float) -> list[str]:
    waits = (str(loading_s), str(answering_s))
    return [sys.executable, "-IS", keeper.__file__, HOST, str(port), *waits, sys.executable, "-c", program, str(port)]


def wait_for(log: Path, word: str) -> None:
    deadline = time.monotonic() + 60
    while word not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@contextmanager
def kept(
    folder: Path, program: str, word: str, loading_s: float = 60, answering_s: float = 60, *, first: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], int, list[psutil.Process]]]:
    """The keeper, its number, and all processes below it once the log has the word. They are gone when the block is left."""
    log, port = folder / "log", own_port()
    given = [*(kubelet._namespace() if first else ()), *command(port, program, loading_s, answering_s)]
    with log.open("wb") as output:
        process = processes.start(given, output=output)
    try:
        wait_for(log, word)
        number = kubelet.first_process(process) if first and kubelet._namespace() else process.pid
        below = psutil.Process(number).children(recursive=True)
        assert len(below) == (4 if STRAY in program else 3)  # the guard, the server, its engine
        yield process, number, below
    finally:
        processes.kill_group(process.pid)
        process.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive


@pytest.mark.parametrize("first", [False, True], ids=["one of many", "first of its namespace"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_loads_is_killed_after_its_time_and_the_status_is_the_signals(
    tmp_path: Path, number: signal.Signals, first: bool
) -> None:
    with kept(tmp_path, LOADS, "loads", loading_s=0.3, first=first) as (process, pid, _):
        os.kill(pid, number)
        assert process.wait(30) == 128 + number
    assert "did not end in time while it loaded" in (tmp_path / "log").read_text()


def test_a_server_that_answers_ends_as_it_will_and_its_status_is_passed_on(tmp_path: Path) -> None:
    with kept(tmp_path, ENDS, "asked", loading_s=0.01) as (process, pid, below):
        os.kill(pid, signal.SIGTERM)
        assert process.wait(30) == 7
        assert not [left for left in below if left.is_running()], "gone when the keeper is, not some time after it"
    assert "killed" not in (tmp_path / "log").read_text()


def test_a_server_that_lingers_is_killed(tmp_path: Path) -> None:
    with kept(tmp_path, LINGERS, "asked", loading_s=0.01, answering_s=0.5) as (process, pid, _):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGTERM)  # asked twice it has no less time
        assert process.wait(30) == 128 + signal.SIGKILL
    assert "did not end in time with requests under way" in (tmp_path / "log").read_text()


def test_ctrl_c_after_a_signal_kills_at_once(tmp_path: Path) -> None:
    with kept(tmp_path, LINGERS, "asked") as (process, pid, _):
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)  # or the two are one
        os.kill(pid, signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGKILL


@pytest.mark.parametrize(("end", "status"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 137)])
def test_a_server_that_dies_takes_its_engine_along(tmp_path: Path, end: str, status: int) -> None:
    program = SERVER + f"print('dies', flush=True)\ntime.sleep(1)\n{end}\n"
    with kept(tmp_path, program, "dies") as (process, _, _):
        assert process.wait(30) == status


def test_a_keeper_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    for whole_group in (False, True):
        with kept(tmp_path, LINGERS, "asked") as (process, pid, _):
            (os.killpg if whole_group else os.kill)(pid, signal.SIGKILL)
            assert process.wait(30) == -signal.SIGKILL
