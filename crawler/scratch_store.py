"""An object store in memory: for crawls whose pages are looked at and not kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from yuqing.endpoints import S3Endpoint
from yuqing.objects import ObjectInfo, ObjectMissing, ObjectStore


@dataclass(frozen=True)
class ScratchStore(ObjectStore):
    """Does what ObjectStore does, for one process and without S3."""

    endpoint: S3Endpoint = field(default_factory=lambda: S3Endpoint(None, "scratch", "", "", "", ""))
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)

    def ensure_bucket(self) -> None:
        """There is nothing to make."""

    def put(self, key: str, data: bytes, *, content_type: str | None = None, only_if_absent: bool = False) -> bool:
        """Keep bytes; with only_if_absent False when the key exists."""
        if only_if_absent and key in self.objects:
            return False
        self.objects[key] = (data, datetime.now(UTC))
        return True

    def put_file(self, key: str, path: Path, *, content_type: str | None = None) -> None:
        """Keep a file's bytes."""
        self.put(key, path.read_bytes())

    def stream(self, key: str, *, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """An object's bytes from `first` to `last`, both included. Raises ObjectMissing."""
        if key not in self.objects:
            raise ObjectMissing(f"{key} does not exist")
        yield self.objects[key][0][first : None if last is None else last + 1]

    def exists(self, key: str) -> bool:
        """Whether the key exists."""
        return key in self.objects

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """The objects under a prefix in key order."""
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > start_after:
                data, modified = self.objects[key]
                yield ObjectInfo(key, len(data), modified)

    def folders(self, prefix: str) -> Sequence[str]:
        """The names of the "folders" directly under a prefix."""
        rests = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return sorted({rest.partition("/")[0] for rest in rests if "/" in rest})

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.objects.pop(key, None)
