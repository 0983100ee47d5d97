"""What a seen set holds, for people: how much, since when, and whether an address is in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from crawler.seen.hashes import Hashes, sort_and_unite, unite_settlements
from crawler.seen.segments import (
    NO_ULID,
    Segment,
    read,
    read_settlements,
    ulid_seconds,
    with_segments,
)
from yuqing.objects import ObjectStore


@dataclass(frozen=True)
class SeenStats:
    """A site's set: distinct addresses, objects on S3 and their bytes, times of the oldest and newest batch (UTC).

    revisit: addresses that are kept with their times, because the revisit policy may ask for them.
    """

    site: str
    addresses: int
    revisit: int
    segments: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True)
class Sighting:
    """When an address was settled: first and last time (UTC), and the segments that hold it.

    Merged segments do not keep times: where `exact` is false, the address was settled between the two.
    """

    first: datetime
    last: datetime
    exact: bool
    segments: tuple[str, ...]


def measure(store: ObjectStore, site: str) -> SeenStats:
    """Count what is stored for a site. Raises ObjectStoreAway, BrokenSegment, SegmentsRestless."""

    def count(segments: list[Segment]) -> SeenStats:
        timed = read_settlements(store, [segment for segment in segments if segment.kind == "revisit"])
        revisit = unite_settlements(timed)["hash"]
        array, _ = read(store, [segment for segment in segments if segment.kind != "revisit"], room=len(revisit))
        array[len(array) - len(revisit) :] = revisit
        ulids = {ulid for segment in segments for ulid in (segment.oldest, segment.newest)} - {NO_ULID}
        return SeenStats(
            site,
            addresses=len(sort_and_unite(array)),
            revisit=len(revisit),
            segments=len(segments),
            bytes=sum(segment.size for segment in segments),
            oldest=_time(ulid_seconds(min(ulids))) if ulids else None,
            newest=_time(ulid_seconds(max(ulids))) if ulids else None,
        )

    return with_segments(store, site, count)


def find(store: ObjectStore, site: str, hash_: int) -> Sighting | None:
    """Whether an address is settled, and since when. Raises ObjectStoreAway, BrokenSegment, SegmentsRestless."""

    def look(segments: list[Segment]) -> Sighting | None:
        timed = [segment for segment in segments if segment.kind == "revisit"]
        plain = [segment for segment in segments if segment.kind != "revisit"]
        times: list[int] = []
        holders: list[Segment] = []
        for segment, settlements in zip(timed, read_settlements(store, timed), strict=True):
            if (position := _position(settlements["hash"], hash_)) is not None:
                times += [int(settlements["first"][position]), int(settlements["last"][position])]
                holders.append(segment)
        for segment, hashes in zip(plain, read(store, plain)[1], strict=True):
            if _position(hashes, hash_) is not None:
                times += [ulid_seconds(segment.oldest), segment.seconds]
                holders.append(segment)
        if not holders:
            return None
        exact = all(segment.kind != "merged" for segment in holders)
        return Sighting(_time(min(times)), _time(max(times)), exact, tuple(segment.key for segment in holders))

    return with_segments(store, site, look)


def _position(hashes: Hashes, hash_: int) -> int | None:
    position = int(np.searchsorted(hashes, np.uint64(hash_)))
    return position if position < len(hashes) and hashes[position] == hash_ else None


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
