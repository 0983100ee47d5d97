"""What the stages could not use, as it lies on S3: listed by day, read within bounds, and who may try it again.

It may hold anything that strangers have written, compressed as far as they liked: no more is unpacked than is shown. All of it
asks S3 and blocks: call it in a thread.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from yuqing.objects import ObjectInfo, ObjectMissing, ObjectStore

_KEY = re.compile(r"quarantine/([a-z0-9_]{1,32})/dt=(\d{4}-\d\d-\d\d)/([\w.=+@~,() -]{1,200})\.jsonl\.gz")
_FOLDER = "quarantine/"
# What `yuqing clean --replay` takes, and what becomes a job of the speech worker again.
CLEANED_AGAIN = frozenset({"cleaning", "crawler"})
HEARD_AGAIN = frozenset({"asr"})

# To count the reasons of a listed object so many bytes are unpacked; a batch of ordinary refusals has some hundred kB.
_COUNTED_BYTES = 4 * 2**20
# To read records of one object; it may have 500 pages of 16 MiB each.
_READ_BYTES = 256 * 2**20
_LONGEST_LINE = 32 * 2**20
_REASONS = 3
_REASON_CHARACTERS = 300
_READERS = 8
BROKEN = (zlib.error, ValueError, EOFError)


@dataclass(frozen=True)
class Reason:
    """Why records were refused, and how many for it."""

    reason: str
    records: int


@dataclass(frozen=True)
class Quarantined:
    """An object of quarantine. `records` counts those that were looked at: all of them if `is_complete`."""

    key: str
    stage: str
    day: date
    batch: str
    bytes: int
    modified: datetime
    is_replayable: bool
    records: int
    is_complete: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class QuarantinePage:
    """The newest day first; `next_before` is None on the last page. `stages` are those that have anything."""

    stages: tuple[str, ...]
    items: tuple[Quarantined, ...]
    next_before: str | None


@dataclass(frozen=True)
class QuarantinedRecord:
    """A record: its place in the object, the reason, and what was kept, of which long texts (`cut`) are shortened."""

    place: int
    reason: str
    kept: dict[str, Any]
    cut: tuple[str, ...]


@dataclass(frozen=True)
class QuarantinedBatch(Quarantined):
    """An object with some of its records; `next_offset` is None at its end."""

    items: tuple[QuarantinedRecord, ...]
    next_offset: int | None


def parts_of(key: str) -> tuple[str, date, str] | None:
    """(stage, day, batch) of a key, or None for one that is none of quarantine's."""
    found = _KEY.fullmatch(key)
    try:
        return (found[1], date.fromisoformat(found[2]), found[3]) if found else None
    except ValueError:
        return None


def is_replayable(key: str) -> bool:
    """Whether a stage can take it again."""
    parts = parts_of(key)
    return parts is not None and parts[0] in CLEANED_AGAIN | HEARD_AGAIN


def list_quarantine(store: ObjectStore, *, stage: str | None, before: str | None, limit: int) -> QuarantinePage:
    """A page of the objects (of a stage), the newest day first. Raises ObjectStoreAway."""
    stages = tuple(sorted(store.folders(_FOLDER)))
    wanted = [stage] if stage else stages
    with ThreadPoolExecutor(_READERS) as readers:
        days = [
            (day, name)
            for name, folders in zip(
                wanted, readers.map(lambda name: store.folders(f"{_FOLDER}{name}/"), wanted), strict=True
            )
            for day in folders
        ]
        found = []
        for info in _after(store, sorted(days, key=lambda each: (each[0], each[1]), reverse=True), before):
            found.append(info)
            if len(found) > limit:
                break
        items = tuple(readers.map(lambda info: _look(store, info), found[:limit]))
    return QuarantinePage(stages, items, found[limit - 1].key if len(found) > limit else None)


def _after(store: ObjectStore, days: Sequence[tuple[str, str]], before: str | None) -> Iterator[ObjectInfo]:
    """The objects of these days in their order, behind the key `before`."""
    last = before.split("/") if before else None  # quarantine, stage, day, name
    for day, stage in days:
        if last is not None and (day, stage) > (last[2], last[1]):
            continue
        objects = [info for info in store.list(f"{_FOLDER}{stage}/{day}/") if parts_of(info.key)]
        for info in reversed(objects):
            if last is None or (day, stage, info.key) < (last[2], last[1], before):
                yield info


def _look(store: ObjectStore, info: ObjectInfo) -> Quarantined:
    parts = parts_of(info.key)
    assert parts is not None
    reasons: Counter[str] = Counter()
    is_complete = True
    try:
        for record in _records(store, info.key, _COUNTED_BYTES):
            if record is None:
                is_complete = False
            else:
                reasons[_reason(record)] += 1
    except BROKEN as error:
        reasons[f"the object cannot be read: {error}"] += 1
    except ObjectMissing:  # replayed at this moment
        is_complete = False
    counted = tuple(Reason(reason, count) for reason, count in reasons.most_common(_REASONS))
    return Quarantined(
        info.key,
        *parts,
        info.size,
        info.modified,
        is_replayable(info.key),
        sum(reasons.values()),
        is_complete,
        counted,
    )


def _reason(record: dict[str, Any]) -> str:
    return str(record.get("reason") or "")[:_REASON_CHARACTERS]


def _records(store: ObjectStore, key: str, most_bytes: int) -> Iterator[dict[str, Any] | None]:
    """The object's records; None at the place where unpacking stopped because of the bound."""
    unpack, rest, taken = zlib.decompressobj(wbits=31), b"", 0
    for chunk in store.stream(key):
        data = chunk
        while data:
            piece = unpack.decompress(data, 2**20)
            taken += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line:
                    yield _record(line)
            if taken >= most_bytes or len(rest) > _LONGEST_LINE:
                yield None
                return
            data = unpack.unconsumed_tail
    if not unpack.eof:
        raise EOFError("it breaks off")
    if rest:
        yield _record(rest)


def _record(line: bytes) -> dict[str, Any]:
    record = json.loads(line.decode("utf-8", "replace"))
    if not isinstance(record, dict):
        raise ValueError(f"a record is a {type(record).__name__}, not an object")
    return record


def read_quarantined(
    store: ObjectStore, key: str, *, offset: int, limit: int, characters: int
) -> QuarantinedBatch | None:
    """An object's records from `offset` on, texts shortened to `characters`; None when it does not exist.

    Raises ObjectStoreAway.
    """
    info = next((info for info in store.list(key) if info.key == key), None)
    if info is None or parts_of(key) is None:
        return None
    items: list[QuarantinedRecord] = []
    more = False
    try:
        for place, record in enumerate(_records(store, key, _READ_BYTES)):
            if record is None or len(items) == limit:
                more = record is not None
                break
            if place >= offset:
                cut: list[str] = []
                kept = {name: _short(value, characters, name, cut) for name, value in record.items()}
                items.append(QuarantinedRecord(place, str(kept.pop("reason", "")), kept, tuple(cut)))
    except ObjectMissing:
        return None
    except (*BROKEN, RecursionError) as error:
        items.append(QuarantinedRecord(offset + len(items), f"the object cannot be read: {error}", {}, ()))
    return QuarantinedBatch(
        **vars(_look(store, info)), items=tuple(items), next_offset=offset + len(items) if more else None
    )


def _short(value: Any, characters: int, name: str, cut: list[str]) -> Any:
    if isinstance(value, str) and len(value) > characters:
        cut.append(name)
        return value[:characters]
    if isinstance(value, dict):
        return {inner: _short(each, characters, f"{name}.{inner}", cut) for inner, each in value.items()}
    if isinstance(value, list):
        return [_short(each, characters, f"{name}.{place}", cut) for place, each in enumerate(value)]
    return value


def recordings_of(store: ObjectStore, key: str) -> list[str]:
    """The sha256 of the recordings that the speech worker gave up in this object.

    Raises BROKEN's errors for a damaged object, ObjectMissing, ObjectStoreAway.
    """
    found = (record.get("media_sha256") for record in _records(store, key, _READ_BYTES) if record is not None)
    return [sha256 for sha256 in found if isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256)]
