"""Making a backup, and deleting old ones."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from yuqing.backup import database
from yuqing.backup.layout import (
    DATA,
    DUMPS,
    IN_MEMORY,
    MANIFESTS,
    PART_ENTRIES,
    RECORDS,
    BackupError,
    Entry,
    Part,
    Record,
    data_key,
    dump_json,
    entries,
    known_entries,
    rank,
    read_record,
    record_ids,
    store_spooled,
    target_endpoint,
    write_part,
)
from yuqing.contracts import now
from yuqing.endpoints import database_url
from yuqing.identity import new_ulid
from yuqing.objects import ObjectInfo, ObjectMissing, ObjectStore
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

T = TypeVar("T")
R = TypeVar("R")
log = get_logger(__name__)
_PHASES = ("seen/", "raw/", "media/", "")


@dataclass(frozen=True)
class Pruned:
    """What deleting old backups removed: backups (broken ones too), contents, and their bytes."""

    backups: int
    contents: int
    bytes: int


def stores(settings: Settings) -> tuple[ObjectStore, ObjectStore]:
    """What is backed up, and where to. Raises NotConfigured, BackupError when they are one bucket."""
    return ObjectStore.from_settings(settings), ObjectStore(target_endpoint(settings))


def back_up(
    settings: Settings, watch: Callable[[int], None] = lambda _: None, *, full: bool = False, adopt: bool = False
) -> Record:
    """Make a backup: the database, then the objects that earlier ones do not hold. `watch` hears of each object.

    Killed on the way it leaves no backup; what it had copied is not copied again by the next. With `full` nothing of earlier
    backups is trusted: every object is read, and its content written anew, which mends a damaged one. With `adopt` it goes on
    with the backups of another installation, which is refused from then on.

    Raises BackupError (another one is under way, the backups are another installation's, no pg_dump), DatabaseAway,
    ObjectStoreError, NotConfigured.
    """
    source, backups = stores(settings)
    backups.ensure_bucket()
    url = database_url(settings)
    with database.locked(
        url
    ) as still:  # to the end: the deletion of old ones would take contents that no record names yet
        own = _origin(settings, source)
        if not adopt:
            _refuse_others(backups, own)
        name, started = new_ulid().lower(), now()
        dump = database.dump(url, backups, name, settings.backup)
        log.info("database dumped", backup=name, bytes=dump.bytes, revision=dump.revision)
        parts: list[Part] = []
        count = total = fresh = 0
        for chunk in _chunks(_objects(source, backups, settings, full), PART_ENTRIES):
            still()
            parts.append(write_part(backups, name, len(parts), [entry for entry, _ in chunk]))
            for entry, copied in chunk:
                count, total, fresh = count + 1, total + entry.size, fresh + copied
                watch(count)
        record = Record(
            id=name,
            started=started,
            finished=now(),
            source=own[0],
            origin=own[1],
            database=dump,
            parts=parts,
            objects=count,
            bytes=total,
            new_bytes=fresh,
        )
        still()
        if not adopt:  # one with another database knows nothing of the lock
            _refuse_others(backups, own)
        backups.put(f"{RECORDS}{name}.json", dump_json(record), content_type="application/json")
    log.info("backup complete", backup=name, objects=count, bytes=total, new_bytes=fresh)
    return record


def _origin(settings: Settings, source: ObjectStore) -> tuple[str, str]:
    """What tells this installation from another: its bucket and its database. Many have a bucket of the same name."""
    return f"s3://{source.endpoint.bucket}/{source.endpoint.prefix}", database.origin(database_url(settings))


def _refuse_others(backups: ObjectStore, own: tuple[str, str]) -> None:
    """Raises BackupError when the last backup is of another installation: with each new one here it would lose one of its own."""
    for name in reversed(record_ids(backups)):
        try:
            last = read_record(backups, name)
        except BackupError:  # a damaged one: the next mends it
            continue
        if last.source == own[0] and last.origin in ("", own[1]):
            return
        where = f"s3://{backups.endpoint.bucket}/{backups.endpoint.prefix}"
        raise BackupError(
            f"{where} holds the backups of another installation: the last, {name}, is of {last.source} and the database "
            f"{last.origin or '?'}, and this one is {own[0]} and the database {own[1]}",
            cure="set YUQING_BACKUP__PREFIX to one of its own; after a restore or a move: `yuqing backup --adopt`",
        )


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk


def listed(source: ObjectStore, exclude: list[str]) -> Iterator[ObjectInfo]:
    """Every object that is backed up, in the order of `rank`. Raises ObjectStoreAway."""
    for phase in _PHASES:
        for item in source.list(phase):
            if (phase or rank(item.key)[0] == len(_PHASES) - 1) and not item.key.startswith(tuple(exclude)):
                yield item


def _objects(source: ObjectStore, backups: ObjectStore, settings: Settings, full: bool) -> Iterator[tuple[Entry, int]]:
    """Each object's entry, and the bytes that had to be copied for it; several are copied at the same time."""
    earlier = iter(()) if full else known_entries(backups)
    pairs = _paired(listed(source, settings.backup.exclude), earlier)
    with ThreadPoolExecutor(settings.backup.copies) as copiers:
        work = beside(copiers, lambda pair: _copy(source, backups, *pair, full), pairs)
        yield from (found for found in work if found)


def _paired(items: Iterator[ObjectInfo], earlier: Iterator[Entry]) -> Iterator[tuple[ObjectInfo, Entry | None]]:
    """Each object with what an earlier backup knows of it; both lists are in the order of `rank`, and neither is held in memory."""
    entry = next(earlier, None)
    for item in items:
        while entry and rank(entry.key) < rank(item.key):
            entry = next(earlier, None)
        found = None
        while entry and entry.key == item.key:  # of several backups, one may know it as it is
            if entry.is_still(item.size, item.tag, item.modified):
                found = entry
            entry = next(earlier, None)
        yield item, found


def beside(pool: ThreadPoolExecutor, call: Callable[[T], R], items: Iterator[T]) -> Iterator[R]:
    """As map, in order, with a bounded number under way."""
    window = [pool.submit(call, item) for item in islice(items, 64)]
    for item in items:
        yield window.pop(0).result()
        window.append(pool.submit(call, item))
    for future in window:
        yield future.result()


def _copy(
    source: ObjectStore, backups: ObjectStore, item: ObjectInfo, known: Entry | None, full: bool
) -> tuple[Entry, int] | None:
    """The object's entry and the bytes copied; None when it was deleted since it was listed. Raises ObjectStoreError."""
    if known:
        return known, 0
    try:
        content_type, chunks = source.opened(item.key)
    except ObjectMissing:
        return None
    digest, size = hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            spool.write(chunk)
        sha256 = digest.hexdigest()
        entry = Entry(
            key=item.key,
            size=size,
            tag=item.tag,
            modified=item.modified,
            content_type=content_type,
            sha256=sha256,
        )
        if size != item.size:  # overwritten since it was listed: the next backup looks again
            entry = entry.model_copy(update={"tag": ""})
        if not full and backups.exists(data_key(sha256)):
            return entry, 0
        store_spooled(backups, data_key(sha256), spool, size)
    return entry, size


def prune(settings: Settings, keep: int) -> Pruned:
    """Delete all but the last `keep` complete backups, those broken off before the last, and what contents no other holds.

    Raises BackupError when a backup is under way, the last is of another installation, or a kept one is damaged: then nothing is
    deleted; and when the lock is lost.
    """
    source, backups = stores(settings)
    with database.locked(database_url(settings)) as still:  # no backup runs meanwhile, which might count on a content
        _refuse_others(backups, _origin(settings, source))
        complete = record_ids(backups)
        kept = complete[-keep:]
        if not kept:
            return Pruned(0, 0, 0)
        names = {*backups.folders(MANIFESTS), *complete}
        names |= {item.key.removeprefix(DUMPS).removesuffix(".dump") for item in backups.list(DUMPS)}
        gone = sorted(name for name in names if name not in kept and name < kept[-1])
        held = {entry.sha256 for name in kept for entry in entries(backups, read_record(backups, name))}
        held |= {entry.sha256 for entry in known_entries(backups)}  # of those broken off since: the next counts on them
        still()
        for name in gone:  # the record first: from then on the backup does not exist
            backups.delete(f"{RECORDS}{name}.json")
            for item in backups.list(f"{MANIFESTS}{name}/"):
                backups.delete(item.key)
            backups.delete(f"{DUMPS}{name}.dump")
        contents = freed = 0
        for item in backups.list(DATA):
            if item.key.rpartition("/")[2] not in held:
                still()
                backups.delete(item.key)
                contents, freed = contents + 1, freed + item.size
    return Pruned(len(gone), contents, freed)
