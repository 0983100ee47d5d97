"""The parent of the language model's server: passes signals on, ends what loads or lingers, and leaves nothing of it behind.

`yuqing llm serve` becomes this program once the weights are ready. It is run by its path and needs the standard library alone:
what it imports stays in memory beside the server. vLLM 0.32 does not heed SIGTERM while it loads, and its engine outlives a
server that is killed; both then hold the GPU's memory.
"""

import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: what the server orphans becomes this process's own
_ASK_EVERY_S = 1.0
STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
_HEARD = STOPPING | {signal.SIGCHLD}


def _guard() -> int:
    """Start a process that kills the server's group when this one is gone, by whatever means.

    Returns a pipe, into which the server writes its number. Linux's death signal would reach the server alone, and not its engine.
    """
    heard, told = os.pipe()
    if os.fork():
        os.close(heard)
        return told
    try:
        os.setsid()  # whoever kills this program's group does not mean the guard
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):  # who reads the log sees its end
            os.dup2(nothing, stream)
        os.close(told)
        server = os.read(heard, 32)
        os.read(heard, 1)  # returns when the other end is closed
        with suppress(ProcessLookupError):
            os.killpg(int(server), signal.SIGKILL)
    finally:
        os._exit(0)


def _start(command: list[str], told: int) -> int:
    """The server, in a session of its own; Ctrl-C in a terminal reaches this program alone, which passes it on."""
    server = os.fork()
    if server:
        return server
    try:
        os.setsid()
        os.write(told, str(os.getpid()).encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"yuqing: {command[0]} cannot be started: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(127)  # as a shell says it


def _answers(host: str, port: int) -> bool:
    """Whether the server says anything at all: vLLM listens when its model is loaded."""
    own = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((own, port), timeout=1) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def _end_of(server: int) -> int | None:
    """The server's exit status, 128 and the signal's number when one ended it; None while it runs. Reaps what else has ended."""
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        if ended.si_pid == server:  # not reaped yet: while it is not, nobody else can have its number, and its group's
            return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
        os.waitpid(ended.si_pid, 0)
    return None


def _next_signal(seconds: float | None) -> int | None:
    """The next signal, waited for at most so long."""
    if seconds is None:
        return signal.sigwaitinfo(_HEARD).si_signo
    got = signal.sigtimedwait(_HEARD, max(seconds, 0))
    return got.si_signo if got else None


def keep(server: int, host: str, port: int, loading_s: float, answering_s: float) -> int:
    """Wait for the server's end, and bring it about when asked to; returns the exit status to end with.

    After SIGTERM or SIGINT the server has `loading_s` seconds when it has not answered yet, else `answering_s`; then its group is
    killed, as it is at Ctrl-C after that. Where it was loading, the status is the signal's, whatever the server made of it.
    """
    answers, asked, until = False, 0, float("inf")
    while (status := _end_of(server)) is None:
        if time.monotonic() >= until:
            what = "while it loaded" if not answers else "with requests under way"
            sys.stderr.write(f"yuqing: vLLM did not end in time {what}, and is killed\n")
            sys.stderr.flush()
            os.killpg(server, signal.SIGKILL)
            until = float("inf")
        if asked:
            got = _next_signal(None if until == float("inf") else until - time.monotonic())
        else:
            got = _next_signal(None if answers else _ASK_EVERY_S)
            answers = answers or _answers(host, port)
        if got is None or got not in STOPPING:
            continue
        if not asked:
            asked, until = got, time.monotonic() + (answering_s if answers else loading_s)
            os.kill(server, got)
        elif got == signal.SIGINT:
            until = time.monotonic()
    return 128 + asked if asked and not answers else status


def _end_the_rest(server: int) -> None:
    """Kill and reap everything that is left: the server's group, and what left it and was orphaned."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server, signal.SIGKILL)
    own = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(OSError):  # a kernel that does not list children
        while children := own.read_text(encoding="ascii").split():
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)


def main(arguments: list[str]) -> int:
    """`keeper.py HOST PORT LOADING_S ANSWERING_S COMMAND...`: run the server until it ends; see `keep`."""
    host, port, loading_s, answering_s, *command = arguments
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # they are waited for
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = _start(command, _guard())
    try:
        return keep(server, host, int(port), float(loading_s), float(answering_s))
    finally:
        _end_the_rest(server)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
