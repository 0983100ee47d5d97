"""Temporary folders of recordings, which are removed also when the crawler that made them was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "yuqing-media-"
_LOCK = "lock"
_NEW_S = 60  # a folder so young may be about to get its lock


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that nobody else uses, removed at the end; its lock tells others that it is in use."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        lock = os.open(Path(name) / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it, however the process ends
            yield Path(name)
        finally:
            os.close(lock)


def remove_abandoned() -> int:
    """Remove the folders that killed crawlers have left; returns how many."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use, another user's, or removed by another crawler just now
            if time.time() - folder.stat().st_mtime < _NEW_S:
                continue
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                removed += 1
            finally:
                os.close(lock)
    return removed
