"""Merging of old segments, so that a crawl that begins reads a few objects and not thousands."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import numpy as np
from numpy.typing import NDArray

from crawler.seen.hashes import not_among, settled_at, sort_and_unite, unite_settlements
from crawler.seen.loading import repair
from crawler.seen.segments import (
    NO_ULID,
    Segment,
    merged_key,
    read,
    read_settlements,
    with_segments,
)
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore
from yuqing.sites import Site

_DELETERS = 8


@dataclass(frozen=True)
class Compaction:
    """What a compaction did: segments and bytes of the site before and after it, and how many segments it merged."""

    site: str
    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    merged: int


def compact(store: ObjectStore, site: Site, *, grace_hours: float) -> Compaction:
    """Merge the segments of batches that are older than `grace_hours` into one, or two where addresses are revisited.

    Killed at any point it leaves everything that was settled: first what is merged is written, then what was merged is
    deleted; what is left over is merged by the next one. Crawls of the site, and other compactions, may work at the
    same time. Segments younger than the grace period are left alone, because a crawl writes a batch's segment after the
    batch, and because the segment of a batch whose writer was slow may still take the place of a repaired one.

    Addresses that the revisit policy may ask for stay apart, with the times at which they were settled. Memory: 8 bytes
    an address, 40 for each that may be revisited. Raises ObjectStoreAway, BrokenSegment, SegmentsRestless.
    """

    def use(segments: list[Segment]) -> Compaction:
        return _compact(store, site, [*segments, *repair(store, site, segments)], time() - grace_hours * 3600)

    return with_segments(store, site.name, use)


def _compact(store: ObjectStore, site: Site, segments: Sequence[Segment], before: float) -> Compaction:
    ripe = [segment for segment in segments if segment.kind != "batch" or segment.seconds < before]
    size = sum(segment.size for segment in segments)
    merged = [segment for segment in ripe if segment.kind in ("merged", "revisit")]
    if len(merged) == len(ripe) and len({segment.kind for segment in merged}) == len(merged):
        return Compaction(site.name, len(segments), len(segments), size, size, 0)
    written = _merge(store, site, ripe)
    with ThreadPoolExecutor(_DELETERS) as deleters:
        list(deleters.map(store.delete, (segment.key for segment in ripe)))
    left = len(segments) - len(ripe) + len(written)
    after = size - sum(segment.size for segment in ripe) + sum(written)
    return Compaction(site.name, len(segments), left, size, after, len(ripe))


def _merge(store: ObjectStore, site: Site, ripe: Sequence[Segment]) -> list[int]:
    """Write what is merged; the sizes of the objects in bytes."""
    # First settled before the horizon: never asked for again. Without a policy that is everything.
    horizon = time() - site.revisit.until_days * 86_400 if site.revisit else float("inf")
    batches = [segment for segment in ripe if segment.kind == "batch"]
    timed = [segment for segment in batches if segment.seconds >= horizon]
    finished = [segment for segment in batches if segment.seconds < horizon]
    finished += [segment for segment in ripe if segment.kind in ("imported", "merged")]
    parts = read_settlements(store, [segment for segment in ripe if segment.kind == "revisit"])
    for segment, hashes in zip(timed, read(store, timed)[1], strict=True):
        parts.append(settled_at(hashes, segment.seconds))
    settlements = unite_settlements(parts)
    leaving = settlements["hash"][settlements["first"] < horizon]
    array, _ = read(store, finished, room=len(leaving))
    array[len(array) - len(leaving) :] = leaving
    array = sort_and_unite(array)
    staying = settlements[settlements["first"] >= horizon]
    staying = staying[not_among(staying["hash"], array)]

    through = max((segment.newest for segment in ripe if segment.kind != "imported"), default=NO_ULID)
    name = {
        "through": through,
        "ulid": new_ulid(),
        "oldest": min(segment.oldest for segment in ripe),
    }
    # What stays goes first: until the other is written, the segments from which both are made are all there.
    sizes = []
    if len(staying):
        sizes.append(_write(store, merged_key(site.name, form="revisit", **name), staying))
    if len(array) or not sizes:
        sizes.append(_write(store, merged_key(site.name, form="u64", **name), array))
    return sizes


def _write(store: ObjectStore, key: str, array: NDArray[np.generic]) -> int:
    """Write an array of any size; its bytes. The object is there whole or not at all."""
    with TemporaryDirectory(prefix="yuqing-seen-") as folder:
        path = Path(folder) / "segment"
        array.tofile(path)
        store.put_file(key, path, content_type="application/octet-stream")
    return array.nbytes
