"""Merged segments on the local disk, mapped into memory: a crawl that begins reads no more of them than it asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from crawler.seen.hashes import ON_DISK, SortedHashes, make_index
from crawler.seen.segments import Segment, SegmentsChanged
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class SegmentCache:
    """Copies of merged segments of at least `smallest` bytes, each with its index beside it.

    A merged segment is never changed and its name never used again, so a copy of the right length is right. What S3 has
    no longer is removed at the next load; processes that still have it mapped are not disturbed.
    """

    folder: Path
    smallest: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The cache under cache_dir."""
        return cls(settings.cache / "seen", settings.crawler.seen_cache_bytes)

    def open(self, store: ObjectStore, segment: Segment) -> SortedHashes | None:
        """The segment, mapped; None when it is none for the cache, or the disk does not take it.

        Raises SegmentsChanged, ObjectStoreAway.
        """
        if segment.kind != "merged" or segment.size < self.smallest or segment.size % ON_DISK.itemsize:
            return None
        path = self._path(segment)
        try:
            if not (path.exists() and path.stat().st_size == segment.size and _index_of(path).exists()):
                self._fill(store, segment, path)
            return SortedHashes(np.memmap(path, ON_DISK, "r"), np.memmap(_index_of(path), np.uint32, "r"))
        except ObjectMissing as missing:
            raise SegmentsChanged from missing
        except OSError as problem:
            log.warning("the seen cache cannot be used", folder=str(self.folder), reason=str(problem))
            return None

    def _fill(self, store: ObjectStore, segment: Segment, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")  # two crawls may fill the cache at the same time
        try:
            store.download(segment.key, partial)
            make_index(np.memmap(partial, ON_DISK, "r")).tofile(_index_of(partial))
            for written, name in ((_index_of(partial), _index_of(path)), (partial, path)):
                with written.open("rb") as file:
                    os.fsync(file.fileno())  # or a power cut could leave a file of the right length, full of zeros
                written.replace(name)
        finally:
            partial.unlink(missing_ok=True)
            _index_of(partial).unlink(missing_ok=True)

    def forget_others(self, site: str, segments: Iterable[Segment]) -> None:
        """Remove the copies of this site's segments that are not among these."""
        wanted = {self._path(segment) for segment in segments}
        try:
            for path in (self.folder / site).glob("*.u64"):
                if path not in wanted:
                    path.unlink(missing_ok=True)
                    _index_of(path).unlink(missing_ok=True)
        except OSError as problem:
            log.warning("the seen cache cannot be cleared", folder=str(self.folder), reason=str(problem))

    def _path(self, segment: Segment) -> Path:
        _, site, _, name = segment.key.split("/", 3)
        return self.folder / site / name


def _index_of(path: Path) -> Path:
    return path.with_name(path.name + ".index")
