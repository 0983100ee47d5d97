"""A folder that appears whole or not at all: made beside its place, flushed to the disk, renamed."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm.baichuan import ConversionError

_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def new_folder(target: Path, needed: int) -> Iterator[Path]:
    """A folder to fill that becomes `target` at the end of the block and is gone when the block fails.

    What a killed process left is removed by the next. Raises ConversionError when `needed` bytes are not free, when the
    disk is full after all, and when another process is at it.
    """
    partial = target.parent / f".{target.name}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    handle = os.open(partial, os.O_RDONLY)
    try:
        _take(handle, partial, target)
        for left in partial.iterdir():
            left.unlink()
        try:
            free = shutil.disk_usage(partial).free
            if free < needed:
                raise ConversionError(
                    f"{target.parent} has {free / 2**30:.2f} GiB left, {target.name} takes {needed / 2**30:.2f} GiB",
                    cure="make room, or name a target on another disk",
                )
            yield partial
            for path in (*partial.iterdir(), partial):
                _flush(path)
            partial.rename(target)
            _flush(target.parent)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if _is_write_error(error):
                raise ConversionError(f"{target} cannot be written: {error}", cure="make room on the disk") from None
            raise
    finally:
        os.close(handle)


def _take(handle: int, partial: Path, target: Path) -> None:
    """Lock the folder; it may have been renamed, by who made it, between its opening and its locking."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), partial.stat()) and not target.exists():
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise ConversionError(f"another process is making {target}, or has just made it", cure="wait for it")


def _is_write_error(error: BaseException) -> bool:
    from safetensors import SafetensorError

    # safetensors wraps the system's error; its text is all that is left of it.
    return (isinstance(error, OSError) and error.errno in _WRITE_ERRORS) or (
        isinstance(error, SafetensorError) and "os error" in str(error)
    )


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
