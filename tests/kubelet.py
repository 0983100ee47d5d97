"""Ending a process as the kubelet does: the first process of its namespace, SIGTERM, a grace period, SIGKILL.

The kernel gives a namespace's first process no signal for which it has no handler: a command that counts on SIGTERM's default
would be killed when the grace period is over.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any


@cache
def _namespace() -> tuple[str, ...]:
    for options in ((), ("--user", "--map-root-user")):
        # With its own /proc, as in a container: vLLM looks there for its processes by their numbers.
        command = ("unshare", *options, "--pid", "--fork", "--kill-child", "--mount-proc")
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return ()  # where namespaces are forbidden, an ordinary process


def start(
    arguments: list[str], environment: Mapping[str, str], output: IO[bytes], *, first: bool = True, **options: Any
) -> subprocess.Popen[bytes]:
    """`yuqing ARGUMENTS...` as the first process of a PID namespace; both outputs go to a file.

    With `first=False` as one of many, as tini starts it in our images.
    """
    command = [*(_namespace() if first else ()), sys.executable, "-m", "yuqing", *arguments]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
    )


def first_process(process: subprocess.Popen[bytes]) -> int:
    """The process in the namespace, by its number outside."""
    if isinstance(process.args, list) and process.args[0] == sys.executable:
        return process.pid
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("the process did not start")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which is killed when the block is left before it has ended."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(first_process(process), signal.SIGKILL)
            process.wait()


def terminate(process: subprocess.Popen[bytes], grace_s: float) -> int:
    """SIGTERM, and the status with which the process ends within its grace period. Fails when it does not."""
    with ended(process):
        os.kill(first_process(process), signal.SIGTERM)
        try:
            return process.wait(grace_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {grace_s:g} s, and the kubelet would have killed it") from None
