"""Child processes that end with their parent, whatever ends it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(number: int) -> Callable[[], None]:
    """What a child runs before its program starts: ask Linux for this signal when the parent ends, even by kill -9."""
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return ask


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: int | IO[bytes] = subprocess.PIPE,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own, with both outputs in one stream.

    The group lets `stop` reach grandchildren, and keeps a terminal's Ctrl-C for the parent alone to handle.
    """
    return subprocess.Popen(
        list(command),
        env=dict(os.environ) | dict(environment or {}),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(death_signal),
    )


def stop(child: subprocess.Popen[bytes], number: int, timeout_s: float) -> None:
    """Ask the child to end, wait, then kill what is left of its group."""
    if child.poll() is None:
        child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout_s)
    kill_group(child.pid)
    child.wait()


def kill_group(group: int) -> None:
    """Kill whatever is left of a process group that `start` made."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
