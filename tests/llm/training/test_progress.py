"""What a run tells while it goes on: a bar on a terminal, lines in a file, and TensorBoard's own files."""

import json
import os
import pty
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from llm.training.progress import HISTORY, Progress

# A run of four steps in a process of its own, whose standard error is the terminal.
_RUN = """
import sys
from pathlib import Path
from llm.training.progress import Progress
from yuqing import telemetry
telemetry.configure()
progress = Progress(Path(sys.argv[1]), 4)
progress.begin(1)
for step in (2, 3, 4):
    progress.stepped(step, 0.5, 1e-3, 10.0, 3723.0)
    progress.validating()
    progress.validated(step, {"loss": 0.25})
progress.end()
"""


def _on_a_terminal(out: Path) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(out)], stderr=follower, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # how Linux tells that the other side is closed
                break
            if not part:
                break
            shown += part
    os.close(leader)
    assert process.returncode == 0
    return shown.decode()


def test_the_bar_tells_the_time_left_and_lines_of_the_log_stand_above_it(tmp_path: Path) -> None:
    shown = _on_a_terminal(tmp_path)
    assert "loss 0.500, 1:02:03 left" in shown and "validating" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [part for line in plain.split("\n") for part in line.rstrip("\r").split("\r")]
    said = [line for line in lines if "validation" in line]
    assert len(said) == 3
    assert all(line.lstrip()[:2] == "20" for line in said), "each begins a line of its own, with its time"
    assert [line for line in lines if line.strip()][-1].startswith("4/4")


def _records(path: Path) -> list[bytes]:
    """The records of a TFRecord file: length (8 bytes), its checksum (4), the record, its checksum (4)."""
    data, found, place = path.read_bytes(), [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        found.append(data[place + 12 : place + 12 + length])
        place += length + 16
    return found


def test_scalars_for_tensorboard_go_on_where_the_run_does(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    for first in (0, 2):  # the second run was begun from a checkpoint of step 2, the first one had come to 3
        progress = Progress(tmp_path, 5, tensorboard=True)
        progress.begin(first)
        for step in range(first + 1, first + 4):
            progress.stepped(step, 1 / step + first, 1e-3, 1.0, 1.0)
        progress.validated(first + 3, {"documents": 30, "accuracy": 0.75})
        progress.end()
    scalars: dict[str, dict[int, float]] = {}
    for path in sorted((tmp_path / "tensorboard").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for record in _records(path):
            event = Event.FromString(record)
            if event.session_log.status == SessionLog.START:  # TensorBoard forgets what came later in files before
                scalars = {name: {k: v for k, v in steps.items() if k < event.step} for name, steps in scalars.items()}
            for value in event.summary.value:
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    assert scalars["train/loss"] == pytest.approx({1: 1, 2: 0.5, 3: 1 / 3 + 2, 4: 2.25, 5: 2.2})
    assert scalars["train/learning_rate"].keys() == {1, 2, 3, 4, 5}
    assert scalars["validation/accuracy"] == {5: 0.75}
    assert "validation/documents" not in scalars
    told = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [row["step"] for row in told if "loss" in row] == [1, 2, 3, 4, 5]
