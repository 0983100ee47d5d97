"""Temporary folders of killed crawlers are removed, those in use are not."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from crawler.media.folders import remove_abandoned, temporary_folder

_HOLDER = """
import time
from crawler.media.folders import temporary_folder
with temporary_folder() as folder:
    (folder / "recording").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_only_what_nobody_uses_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER], env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    held = Path(holder.stdout.readline().strip())
    (tmp_path / "other").mkdir()
    (tmp_path / "yuqing-media-file").touch()
    with temporary_folder() as own:
        for path in (held, own, tmp_path / "other", tmp_path / "yuqing-media-file"):
            os.utime(path, (0, 0))
        assert remove_abandoned() == 0
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        os.utime(held, None)
        assert remove_abandoned() == 0, "it may be about to get its lock"
        os.utime(held, (0, 0))
        assert remove_abandoned() == 1
        assert own.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"other", "yuqing-media-file"}
