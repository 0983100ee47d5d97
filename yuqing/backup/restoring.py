"""Restoring a backup into an empty database and an empty bucket, and proving that it is whole."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from yuqing.backup import database
from yuqing.backup.layout import IN_MEMORY, BackupError, Entry, Record, data_key, entries, read_record, store_spooled
from yuqing.backup.making import beside, stores
from yuqing.endpoints import database_url
from yuqing.objects import ObjectMissing, ObjectStore
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)
# Lies in a bucket that is being restored, and names the backup: whoever was killed goes on there.
MARKER = "restoring.json"
_NAMED = 5  # keys that an error names


@dataclass(frozen=True)
class Restored:
    """What a restore brought back: the backup, objects (and how many were there from a broken-off try), rows."""

    record: Record
    objects: int
    there: int
    rows: int


def verify(settings: Settings, name: str, *, deep: bool = False) -> Record:
    """Whether a backup is whole: its record, its manifest, its dump and every content; `deep` reads and hashes all of it.

    Raises BackupError, which names what is missing or damaged.
    """
    _, backups = stores(settings)
    record = read_record(backups, name)
    sizes = {item.key: item.size for item in backups.list("database/")}
    if sizes.get(record.database.key) != record.database.bytes:
        there = sizes.get(record.database.key)
        raise BackupError(
            f"{record.database.key} of the backup {record.id} "
            + (f"has {there} bytes of {record.database.bytes}" if there is not None else "is missing"),
            cure="take an earlier backup",
        )
    # Of all contents a hash and a size are held, of the entries none: a backup may have more of them than there is memory.
    contents = {item.key.rpartition("/")[2]: item.size for item in backups.list("data/")}
    bad = [entry.key for entry in entries(backups, record) if contents.get(entry.sha256) != entry.size]
    if deep and not bad:
        if _hash(backups, record.database.key) != record.database.sha256:
            raise BackupError(
                f"{record.database.key} of the backup is damaged: its hash is another", cure="take an earlier one"
            )
        with ThreadPoolExecutor(settings.backup.copies) as readers:
            once = (entry for entry in entries(backups, record) if contents.pop(entry.sha256, None) is not None)
            hashes = beside(readers, lambda entry: (entry, _hash(backups, data_key(entry.sha256))), once)
            bad = [entry.key for entry, found in hashes if found != entry.sha256]
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise BackupError(
            f"the backup {record.id} is damaged: the content of {', '.join(bad[:_NAMED])}{more} is missing or another",
            cure="take an earlier backup; `yuqing backup --full` writes all contents anew",
        )
    return record


def _hash(store: ObjectStore, key: str) -> str:
    digest = hashlib.sha256()
    for chunk in store.stream(key):
        digest.update(chunk)
    return digest.hexdigest()


def restore(settings: Settings, name: str, watch: Callable[[int], None] = lambda _: None) -> Restored:
    """Bring a backup back into the database and the bucket that the settings name; both have to be empty.

    The backup is looked through first. The database comes back in one transaction, each object whole or not at all; killed on the
    way, the same command goes on. At the end counts and digests of all tables and keys and sizes of all objects are compared
    with the record. Raises BackupError (damaged, target not empty), DatabaseAway, ObjectStoreError.
    """
    record = verify(settings, name)
    target, backups = stores(settings)
    url = database_url(settings)
    target.ensure_bucket()
    there = _claim(target, record)
    database.make_database(url)
    state = database.state_of(url, record.database)
    if state == "other":
        raise BackupError(
            "the database is not empty, and holds something else than the backup",
            cure="name a new one in YUQING_DATABASE__URL; it is made when it does not exist",
        )
    if state == "empty":
        database.restore(url, backups, record.database, settings.backup)
        if database.state_of(url, record.database) != "restored":
            raise BackupError("the restored tables differ from the backup's record", cure="take an earlier backup")
        log.info("database restored", backup=record.id, revision=record.database.revision)
    count = done = 0
    with ThreadPoolExecutor(settings.backup.copies) as copiers:
        for found in beside(copiers, lambda entry: _bring(target, backups, entry, there), entries(backups, record)):
            count, done = count + 1, done + found
            watch(count)
    _compare(target, backups, record)
    target.delete(MARKER)
    rows = sum(table.rows for table in record.database.tables.values())
    log.info("restored", backup=record.id, objects=count, rows=rows)
    return Restored(record, count, count - done, rows)


def _claim(target: ObjectStore, record: Record) -> dict[str, int]:
    """Keys and sizes of what an earlier try has brought; {} when the bucket is empty. Raises BackupError when it is not ours."""
    try:
        begun = json.loads(target.get(MARKER)).get("backup")
    except ObjectMissing:
        begun = None
    except (ValueError, AttributeError):
        begun = "?"
    if begun == record.id:
        return {item.key: item.size for item in target.list("")}
    where = f"s3://{target.endpoint.bucket}/{target.endpoint.prefix}"
    if begun:
        raise BackupError(
            f"the restore of another backup ({begun}) into {where} was broken off",
            cure=f"finish it with `yuqing restore {begun}`, or name another YUQING_S3__BUCKET or __PREFIX",
        )
    first = next(target.list(""), None)
    if first:
        raise BackupError(
            f"{where} is not empty: it holds {first.key}", cure="name a new YUQING_S3__BUCKET or YUQING_S3__PREFIX"
        )
    target.put(MARKER, json.dumps({"backup": record.id}).encode(), content_type="application/json")
    return {}


def _bring(target: ObjectStore, backups: ObjectStore, entry: Entry, there: dict[str, int]) -> int:
    """Copy a content to its key unless it is there; 1 when it was copied. Raises BackupError when its hash is another."""
    if there.get(entry.key) == entry.size:
        return 0
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        for chunk in backups.stream(data_key(entry.sha256)):
            digest.update(chunk)
            spool.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise BackupError(
                f"the content of {entry.key} in the backup is damaged: its hash is another",
                cure="take an earlier backup",
            )
        store_spooled(target, entry.key, spool, entry.size, entry.content_type or None)
    return 1


def _compare(target: ObjectStore, backups: ObjectStore, record: Record) -> None:
    """Raises BackupError unless the bucket holds the manifest's keys and sizes, and nothing else."""
    found = {item.key: item.size for item in target.list("") if item.key != MARKER}
    for entry in entries(backups, record):
        if found.pop(entry.key, None) != entry.size:
            raise BackupError(f"{entry.key} was not restored as it was", cure="run the restore again")
    if found:
        raise BackupError(
            f"{next(iter(found))} has appeared beside the restore", cure="stop what writes there meanwhile"
        )
