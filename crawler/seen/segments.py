"""The objects under seen/<site>/: their names, what they hold, and how they are read.

    <Y>/<M>/<D>/<ulid>.u64                       the hashes that the batch of this ulid settled
    imported/<ulid>.u64                          hashes from a list of addresses that was imported
    merged/<through>-<ulid>-<oldest>.u64         the hashes of older segments, never asked for again
    merged/<through>-<ulid>-<oldest>.revisit     those that the revisit policy may ask for, with times (see hashes)

`through` and `oldest` are the ulids of the newest and the oldest batch that were merged; a batch up to `through` has its
addresses in a segment, whatever else is missing. A segment is never changed, but for that of a batch whose writer comes
late; it disappears only after one in which it was merged is there, and that one is listed after it: S3 lists in the
order of the names, so a listing that is made meanwhile has the one or the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from ulid import ULID

from crawler.seen.hashes import ON_DISK, SETTLEMENT, Hashes, Settlements
from yuqing.errors import YuqingError
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.telemetry import get_logger

log = get_logger(__name__)
T = TypeVar("T")

NO_ULID = "0" * 26
"""Before all batches."""
_TRIES = 5  # a compaction deletes what it has merged once, so one more listing is nearly always enough
_READERS = 8  # S3's latency dominates small segments; four sites are loaded at a time, and 32 connections are kept
_PART = 2**24  # bytes of a large segment that one request reads
_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_NAME = re.compile(
    rf"(?:\d{{4}}/\d\d/\d\d/(?P<batch>{_ULID})\.u64|imported/(?P<imported>{_ULID})\.u64"
    rf"|merged/(?P<through>{_ULID})-(?P<ulid>{_ULID})-(?P<oldest>{_ULID})\.(?P<form>u64|revisit))"
)


class BrokenSegment(YuqingError):
    """A segment is not what it must be; the cure says how to go on without it."""


class SegmentsRestless(YuqingError):
    """The segments of a site changed each time they were read."""


class SegmentsChanged(Exception):
    """Segments were merged, or written again, while they were read; list them again."""


@dataclass(frozen=True)
class Segment:
    """One object: its kind, its length in bytes, and the ulids that its name tells.

    made: of the batch, of the import, or of the merging, so that no address in it was settled later; newest and oldest:
    the same, but for merged segments those of the newest batch (`through`) and the oldest batch or import in them.
    """

    key: str
    size: int
    kind: Literal["batch", "imported", "merged", "revisit"]
    made: str
    newest: str
    oldest: str

    @property
    def seconds(self) -> int:
        """The time of `made`, seconds since 1970."""
        return ulid_seconds(self.made)


def ulid_seconds(ulid: str) -> int:
    """The time in a ulid, whole seconds since 1970."""
    return ULID.from_str(ulid).milliseconds // 1000


def segment_key(batch_key: str) -> str:
    """raw/<site>/<Y>/<M>/<D>/<ulid>.jsonl.gz -> seen/<site>/<Y>/<M>/<D>/<ulid>.u64"""
    return "seen/" + batch_key.removeprefix("raw/").removesuffix(".jsonl.gz") + ".u64"


def imported_key(site: str, ulid: str) -> str:
    """The segment of an import."""
    return f"seen/{site}/imported/{ulid}.u64"


def merged_key(site: str, *, through: str, ulid: str, oldest: str, form: Literal["u64", "revisit"]) -> str:
    """A segment that others were merged into. `ulid` is new each time, so that none is ever overwritten."""
    return f"seen/{site}/merged/{through}-{ulid}-{oldest}.{form}"


def list_segments(store: ObjectStore, site: str) -> list[Segment]:
    """The segments of a site, in the order of their keys. Raises ObjectStoreAway."""
    segments = []
    for item in store.list(f"seen/{site}/"):
        if segment := parse_segment(site, item.key, item.size):
            segments.append(segment)
        else:
            log.warning("an object under seen/ is no segment and is left aside", key=item.key)
    return segments


def with_segments(store: ObjectStore, site: str, use: Callable[[list[Segment]], T]) -> T:
    """What `use` makes of the site's segments; it is given a new list when they changed while it read them.

    Raises SegmentsRestless when that happens again and again, and what `use` and list_segments() raise.
    """
    for _ in range(_TRIES):
        segments = list_segments(store, site)
        try:
            return use(segments)
        except SegmentsChanged:
            log.info("seen segments were merged while they were read; they are listed again", site=site)
    raise SegmentsRestless(
        f"the seen segments of {site} changed {_TRIES} times while they were read",
        cure="let only one `yuqing seen compact` work at a time, and try again",
    )


def parse_segment(site: str, key: str, size: int) -> Segment | None:
    """What a key says of the segment; None when it is not the name of one."""
    name = _NAME.fullmatch(key.removeprefix(f"seen/{site}/"))
    if name is None:
        return None
    if ulid := name["batch"]:
        return Segment(key, size, "batch", ulid, ulid, ulid)
    if ulid := name["imported"]:
        return Segment(key, size, "imported", ulid, ulid, ulid)
    kind: Literal["merged", "revisit"] = "merged" if name["form"] == "u64" else "revisit"
    return Segment(key, size, kind, name["ulid"], name["through"], name["oldest"])


def read(store: ObjectStore, segments: Sequence[Segment], *, room: int = 0) -> tuple[Hashes, list[Hashes]]:
    """The hashes of segments (all but `revisit` ones): one array, and its part for each segment, in their order.

    The array ends with `room` further places. Everything is read into it directly and in parallel, so that 8 bytes an
    address are all the memory that it takes. Raises SegmentsChanged, BrokenSegment, ObjectStoreAway.
    """
    for segment in segments:
        _check(segment, ON_DISK.itemsize)
    counts = [segment.size // ON_DISK.itemsize for segment in segments]
    array: Hashes = np.empty(sum(counts) + room, dtype=ON_DISK)
    target = array.view(np.uint8).data

    def fetch(part: tuple[Segment, int, int]) -> None:
        segment, first, place = part
        last = min(first + _PART, segment.size) - 1
        position, end = place, place + last - first + 1
        for data in store.stream(segment.key, first=first, last=last if segment.size > _PART else None):
            if position + len(data) > end:
                raise SegmentsChanged
            target[position : position + len(data)] = data
            position += len(data)
        if position != end:
            raise SegmentsChanged

    try:
        with ThreadPoolExecutor(_READERS) as readers:
            for _ in readers.map(fetch, _parts(segments)):
                pass
    except ObjectMissing as missing:
        raise SegmentsChanged from missing
    ends = np.cumsum([0, *counts]).tolist()
    return array, [array[first:last] for first, last in pairwise(ends)]


def read_settlements(store: ObjectStore, segments: Sequence[Segment]) -> list[Settlements]:
    """What `revisit` segments hold. Raises SegmentsChanged, BrokenSegment, ObjectStoreAway."""
    found = []
    for segment in segments:
        _check(segment, SETTLEMENT.itemsize)
        try:
            found.append(np.frombuffer(store.get(segment.key), dtype=SETTLEMENT))
        except ObjectMissing as missing:
            raise SegmentsChanged from missing
    return found


def _check(segment: Segment, item: int) -> None:
    if segment.size % item:
        raise BrokenSegment(
            f"{segment.key} is damaged: its {segment.size} bytes are no multiple of {item}",
            cure="restore it from a backup; or delete it, and what it has settled is fetched once more",
        )


def _parts(segments: Sequence[Segment]) -> Iterator[tuple[Segment, int, int]]:
    """(segment, first byte, place of that byte among all) of what one request reads."""
    place = 0
    for segment in segments:
        for first in range(0, segment.size, _PART):
            yield segment, first, place + first
        place += segment.size
