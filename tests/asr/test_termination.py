"""SIGTERM: the worker finishes its recording and leaves the others in the queue."""

import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.asr.test_worker import SPEECH, add_page, defer
from tests.kubelet import start, terminate
from yuqing.objects import ObjectStore

pytestmark = pytest.mark.service


def test_the_worker_finishes_its_recording(
    environment: dict[str, str], database: Engine, store: ObjectStore, tmp_path: Path
) -> None:
    for number in range(3):
        data = SPEECH + b"\0" * number  # three recordings that sound the same
        defer(database, add_page(database, store, data, f"https://n.example/{number}"))

    def count(what: str) -> int:
        with database.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {what}")).scalar_one())

    with (tmp_path / "log").open("wb") as log:
        process = start(["transcribe", "--follow"], environment, log)
        deadline = time.monotonic() + 300
        while count("procrastinate_jobs WHERE status = 'doing'") == 0:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.02)
        assert terminate(process, 300) == 0, (tmp_path / "log").read_text()
    done = count("transcripts")
    assert done >= 1
    assert count("procrastinate_jobs WHERE status = 'doing'") == 0
    assert count("procrastinate_jobs WHERE task_name = 'transcribe' AND status = 'todo'") == 3 - done > 0
