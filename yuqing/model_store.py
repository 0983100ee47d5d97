"""Model files on our own S3, where pods that reach no other place get them: pushed once, fetched and verified by each node.

    models/<name>/<file>          the files
    models/<name>/files.json      {path: {"size", "sha256"}}, written last: a model with a list is whole

A model of the manifest is compared with the manifest's hashes as well, so that S3 need not be trusted with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yuqing.errors import YuqingError
from yuqing.model_manifest import ModelFile, file_problem, manifest, sha256_of
from yuqing.model_sources import ModelDamaged, ModelUnavailable
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.settings import Settings

FOLDER = "models/"
LIST = "files.json"
_ROOM = 64 << 20  # bytes to spare beside the files


def push(store: ObjectStore, folder: Path) -> str:
    """Store a model's folder under its name; files that are there already are not sent again. Returns the prefix.

    Raises YuqingError for a folder without files, ObjectStoreError.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != LIST]
    if not paths:
        raise YuqingError(f"{folder} holds no files", cure="name a model of `yuqing models list`, or the folder of one")
    prefix = f"{FOLDER}{folder.name}/"
    files = {}
    there = _listed(store, prefix)
    for path in paths:
        name = path.relative_to(folder).as_posix()
        entry = {"size": path.stat().st_size, "sha256": sha256_of(path)}
        if there.get(name) != entry or not store.exists(prefix + name):
            store.put_file(prefix + name, path)
        files[name] = entry
    store.put(prefix + LIST, json.dumps(files, indent=1).encode(), content_type="application/json")
    return prefix


def fetch(store: ObjectStore, name: str, settings: Settings) -> bool:
    """Bring a model from S3 to its folder in the cache unless it is there with the right sizes; returns whether it was fetched.

    The folder appears by one rename when every file's sha256 is right. Two processes may fetch at once, also from different
    machines over a shared volume: the second waits. Raises ModelUnavailable, ModelDamaged, ObjectStoreError.
    """
    prefix = f"{FOLDER}{name}/"
    listed = _listed(store, prefix)
    if not listed:
        raise ModelUnavailable(
            f"S3 has no model {name}", cure=f"push it: `yuqing models push {name}` where its files are"
        )
    files = [ModelFile(path, entry["size"], entry["sha256"]) for path, entry in listed.items()]
    folder = settings.cache / "models" / name
    with _lock(folder.with_name(f".{name}.lock")):
        if all(_there(file, folder) for file in files):
            return False
        partial = folder.with_name(f".{name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        needed = sum(file.size or 0 for file in files if file_problem(file, partial))
        if (free := shutil.disk_usage(partial).free) < needed + _ROOM:
            raise ModelUnavailable(
                f"{name} needs {needed >> 20} MiB more in {folder.parent}, {free >> 20} MiB are free",
                cure="make the volume larger, or remove models that nobody uses",
            )
        for file in files:
            if file_problem(file, partial):
                (partial / file.path).parent.mkdir(parents=True, exist_ok=True)
                store.download(prefix + file.path, partial / file.path)
            _verify(name, file, partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        return True


def _listed(store: ObjectStore, prefix: str) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(store.get(prefix + LIST))
    except ObjectMissing:
        return {}
    for path in found:
        if path.startswith("/") or ".." in Path(path).parts:
            raise ModelDamaged(f"{prefix}{LIST} names {path}, which is no file of a model", cure="push the model again")
    return found


def _verify(name: str, file: ModelFile, folder: Path) -> None:
    pinned = {known.path: known for known in manifest()[name].files} if name in manifest() else {}
    for wanted in (file, pinned.get(file.path)):
        if wanted and (problem := file_problem(wanted, folder)):
            (folder / file.path).unlink(missing_ok=True)
            raise ModelDamaged(
                f"{name} on S3: {problem} (removed)", cure="push the model again from a copy that is right"
            )


def _there(file: ModelFile, folder: Path) -> bool:
    path = folder / file.path
    return path.is_file() and path.stat().st_size == file.size


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
