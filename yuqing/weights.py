"""Model files on disk: pulled to `<cache_dir>/models/<name>/`, verified, and found there by those who load them.

A model's folder appears by one rename when all its files are there and right. What is unfinished lies in
`.<name>.partial` beside it and is taken up by the next pull.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from yuqing.errors import YuqingError
from yuqing.model_manifest import Model, file_problem, find_model, sha256_of
from yuqing.model_sources import ModelDamaged, ModelUnavailable, OnProgress, fetch
from yuqing.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "ModelDamaged",
    "ModelUnavailable",
    "UnverifiedModel",
    "is_complete",
    "model_folder",
    "model_path",
    "problems",
    "pull",
    "show_in",
]

# Written beside files whose hashes the manifest does not know: the hashes of what came, to be compared with afterwards.
ACCEPTED_HASHES = "sha256.json"
_MIB = 1 << 20


class UnverifiedModel(YuqingError):
    """The manifest knows no hash of the model's files, and nobody has accepted that."""


def model_folder(model: Model, settings: Settings) -> Path:
    """Where the model's files are, or will be."""
    return settings.cache / "models" / model.name


def model_path(name: str, settings: Settings) -> Path:
    """The folder with the model's files, which are fetched and verified first when they are absent.

    A folder that is there was verified when it was made; now only sizes are compared (`yuqing models verify` reads it).
    Raises UnknownModel, ModelUnavailable, ModelDamaged, UnverifiedModel.
    """
    model = find_model(name)
    folder = model_folder(model, settings)
    if not is_complete(model, folder):
        from yuqing.telemetry import get_logger, progress

        get_logger("weights").info("fetching a model", model=model.name, bytes=model.size)
        with progress() as bar:
            pull(model, settings, on_progress=show_in(bar, model))
    return folder


def show_in(bar: "Progress", model: Model) -> OnProgress:
    """Let a pull's progress move a bar, in MiB."""
    task = bar.add_task(f"{model.name}, MiB", total=(model.size or 0) // _MIB or None)

    def show(done: int, total: int | None) -> None:
        bar.update(task, completed=done // _MIB, total=total // _MIB if total else None)

    return show


def is_complete(model: Model, folder: Path) -> bool:
    """Whether all files are in the folder with the sizes of the manifest; reads no file."""
    return all(
        (folder / file.path).is_file() and file.size in (None, (folder / file.path).stat().st_size)
        for file in model.files
    )


def pull(
    model: Model, settings: Settings, *, accept_unverified: bool = False, on_progress: OnProgress | None = None
) -> bool:
    """Fetch the model unless it is there and right. Returns whether anything was fetched.

    Sources are tried in order: the local folder of settings.models.folder, then those of the manifest. Two processes
    may pull at once: the second waits for the first and finds the work done. Raises ModelUnavailable when no source has
    the files, ModelDamaged when one gave wrong bytes (which are removed) and no other gave right ones, UnverifiedModel
    when the manifest has no hashes and `accept_unverified` is not set.
    """
    folder = model_folder(model, settings)
    with _lock(folder.with_name(f".{model.name}.lock")):
        if not problems(model, folder):
            return False
        if not (model.pinned or accept_unverified):
            raise UnverifiedModel(
                f"{model.name}: the manifest knows no sha256 of its files, so what a source sends cannot be verified",
                cure=f"if you trust the source: yuqing models pull {model.name} --accept-unverified",
            )
        partial = folder.with_name(f".{model.name}.partial")
        files = partial / "files"
        files.mkdir(parents=True, exist_ok=True)
        _check_space(model, partial)
        fetch(model, settings, partial, on_progress or (lambda _done, _total: None))
        if not model.pinned:
            hashes = {file.path: sha256_of(files / file.path) for file in model.files}
            (files / ACCEPTED_HASHES).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        files.rename(folder)
        shutil.rmtree(partial)
        return True


def problems(model: Model, folder: Path) -> list[str]:
    """What is wrong with the files in the folder, each problem naming its file; none: every byte is right.

    Every file is read and its sha256 compared with the manifest's, or with the one that was accepted at the pull.
    """
    record = folder / ACCEPTED_HASHES
    accepted = json.loads(record.read_text(encoding="utf-8")) if not model.pinned and record.exists() else {}
    files = [replace(file, sha256=file.sha256 or accepted.get(file.path)) for file in model.files]
    return [problem for file in files if (problem := file_problem(file, folder))]


def _check_space(model: Model, folder: Path) -> None:
    # Packages and the joined files lie side by side until the end: twice the size, and a little.
    needed = 2 * (model.size or 0) + 64 * _MIB
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelUnavailable(
            f"{model.name} needs {needed // _MIB} MiB in {folder.parent}, {free // _MIB} MiB are free",
            cure="free some space or move the cache with YUQING_CACHE_DIR",
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the kernel releases it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
