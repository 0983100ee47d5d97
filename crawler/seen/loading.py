"""What earlier runs have settled, as a crawl needs it when it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import time

import numpy as np

from crawler.canonical import site_address, url_hash
from crawler.seen.cache import SegmentCache
from crawler.seen.hashes import Hashes, Settlements, SortedHashes, not_among, pack, settled_at, unite_settlements
from crawler.seen.segments import (
    NO_ULID,
    Segment,
    parse_segment,
    read,
    read_settlements,
    segment_key,
    ulid_seconds,
    with_segments,
)
from crawler.seen.urls import SeenUrls
from yuqing.contracts import read_raw_document
from yuqing.errors import ContractError
from yuqing.gzip_lines import DamagedObject, gzip_lines
from yuqing.objects import ObjectStore
from yuqing.sites import Revisit, Site
from yuqing.telemetry import get_logger

log = get_logger(__name__)


def load(store: ObjectStore, site: Site, cache: SegmentCache | None = None) -> SeenUrls:
    """All that earlier runs have settled, after mending what a killed run left. A compaction may work meanwhile.

    Raises ObjectStoreAway, BrokenSegment, SegmentsRestless.
    """

    def use(segments: list[Segment]) -> SeenUrls:
        return _read(store, site, [*segments, *repair(store, site, segments)], cache)

    return with_segments(store, site.name, use)


def _read(store: ObjectStore, site: Site, segments: Sequence[Segment], cache: SegmentCache | None) -> SeenUrls:
    mapped = {segment: found for segment in segments if cache and (found := cache.open(store, segment))}
    plain = [segment for segment in segments if segment.kind != "revisit" and segment not in mapped]
    # The largest is sorted already; the others, together, are sorted in their place behind it.
    plain.sort(key=lambda segment: segment.size, reverse=True)
    array, parts = read(store, plain)
    revisit = read_settlements(store, [segment for segment in segments if segment.kind == "revisit"])
    due = None
    if site.revisit:
        known = list(zip(plain, parts, strict=True))
        batches = [settled_at(hashes, segment.seconds) for segment, hashes in known if segment.kind == "batch"]
        due = _due(unite_settlements([*revisit, *batches]), site.revisit)
        finished = [hashes for segment, hashes in known if segment.kind != "batch"]
        for earlier in (*(found.hashes for found in mapped.values()), *finished):
            due = due[not_among(due, earlier)]
    first = len(parts[0]) if parts else 0
    rest = array[first:]
    if revisit:
        rest = np.concatenate([rest, *(part["hash"] for part in revisit)])
    rest.sort()
    stored = [*mapped.values(), SortedHashes(array[:first]), SortedHashes(rest)]
    if cache:
        cache.forget_others(site.name, segments)
    return SeenUrls(stored, None if due is None else SortedHashes(due))


def _due(settlements: Settlements, policy: Revisit) -> Hashes:
    """Of settlements in ascending order, the hashes that the policy asks for now."""
    now = time()
    waited = settlements["last"] <= now - policy.after_hours * 3600
    young = settlements["first"] > now - policy.until_days * 86_400
    due: Hashes = settlements["hash"][waited & young]
    return due


def repair(store: ObjectStore, site: Site, segments: Sequence[Segment]) -> list[Segment]:
    """Write the segments of batches that have none, because their run was killed between the two; returns them.

    Without this the pages of such a batch would be fetched once more. Only batches after those that were merged are
    looked for. A crawl of the same site that runs at the same time may be about to write such a segment: ours gives way
    to one that exists, and one that comes overwrites it. Raises ObjectStoreAway.
    """
    known = {segment.key for segment in segments}
    through = max(
        (segment.newest for segment in segments if segment.kind in ("merged", "revisit")),
        default=NO_ULID,
    )
    folder = f"raw/{site.name}/"
    # A batch is filed under the day on which it is written, which is that of its ulid or, at midnight, the next.
    after = f"{folder}{datetime.fromtimestamp(ulid_seconds(through), UTC):%Y/%m/%d}/" if through != NO_ULID else ""
    written = []
    for item in store.list(folder, start_after=after):
        missing = parse_segment(site.name, segment_key(item.key), 0)
        if missing is None or missing.key in known or missing.newest <= through:
            continue
        try:
            data = pack(_addresses(store.get(item.key), site))
        except DamagedObject as problem:  # the cleaning quarantines it; here it settles nothing
            log.warning(
                "a batch is damaged and its pages are fetched once more; restore it, or delete it",
                key=item.key,
                reason=str(problem),
            )
            continue
        store.put(missing.key, data, content_type="application/octet-stream", only_if_absent=True)
        written.append(replace(missing, size=len(data)))
    return written


def _addresses(batch: bytes, site: Site) -> Iterator[int]:
    for line in gzip_lines(batch):
        try:
            document = read_raw_document(line)
        except ContractError:
            continue  # the cleaning quarantines it with the reason; here it settles nothing
        if document.kind != "transcript":
            yield url_hash(document.canonical_url)
            yield url_hash(site_address(site, document.url))
