"""Run the newsroom as a child process, for tests and for the demonstration."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yuqing.embedded import processes
from yuqing.errors import YuqingError

ROOT = Path(__file__).parents[2]
"""The folder that `examples` is imported from."""


class NewsroomDidNotStart(YuqingError):
    """The newsroom ended, or did not answer in time; the message has what it printed."""


@contextmanager
def running(port: int | None = 0, timeout: float = 30.0) -> Iterator[dict[str, str]]:
    """Serve the newsroom in a child process and yield its base URLs; stop it at the end.

    `port` 0 takes any free block of ports, None the usual one or the next free. Raises NewsroomDidNotStart when it does
    not answer within `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="newsroom-") as folder:
        port_file, output = Path(folder) / "newsroom.json", Path(folder) / "output.txt"
        command = [sys.executable, "-m", "examples.newsroom", "serve", "--port-file", str(port_file)]
        command += [] if port is None else ["--port", str(port)]
        with output.open("wb") as printed:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=printed,
                stderr=subprocess.STDOUT,
                preexec_fn=processes.die_with_parent(signal.SIGTERM),
            )
        try:
            deadline = time.monotonic() + timeout
            while not port_file.exists():
                if child.poll() is not None or time.monotonic() > deadline:
                    raise NewsroomDidNotStart(
                        f"the newsroom did not start: {output.read_text(encoding='utf-8', errors='replace').strip()}",
                        cure="run it by hand: python -m examples.newsroom serve",
                    )
                time.sleep(0.05)
            yield json.loads(port_file.read_text(encoding="utf-8"))
        finally:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
