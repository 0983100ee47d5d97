"""Which of the Trainer's checkpoint folders are whole: each gets a mark with its files' sizes when it was written."""

import json
import re
import shutil
from pathlib import Path

from yuqing.telemetry import get_logger

log = get_logger(__name__)

MARK = "whole.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def mark(folder: Path, seconds: float) -> None:
    """Say that the folder is whole; `seconds` is how long the run took until then."""
    files = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file() and path.name != MARK}
    part = folder / f"{MARK}.part"
    part.write_text(json.dumps({"files": files, "seconds": round(seconds, 1)}), encoding="utf-8")
    part.replace(folder / MARK)


def is_whole(folder: Path) -> bool:
    """Whether it was marked and every file still has its size."""
    try:
        files = json.loads((folder / MARK).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest_whole(folder: Path, *, remove: bool) -> Path | None:
    """The newest whole checkpoint of a run's folder; None without any. With `remove` newer ones that are not are deleted."""
    found = [
        (int(match.group(1)), path) for path in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))
    ]
    for _, path in sorted(found, reverse=True):
        if is_whole(path):
            return path
        log.warning("a checkpoint is not whole", folder=path.name)
        if remove:
            shutil.rmtree(path)
    return None


def seconds_of(folder: Path) -> float:
    """How long the run took until this checkpoint."""
    return float(json.loads((folder / MARK).read_text(encoding="utf-8"))["seconds"])
