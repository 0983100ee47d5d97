"""A backup's record and manifest: their form, and reading and writing them."""

from __future__ import annotations

import gzip
import hashlib
import heapq
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from yuqing.endpoints import S3Endpoint, s3_endpoint
from yuqing.errors import YuqingError
from yuqing.objects import BucketMissing, ObjectMissing, ObjectStore
from yuqing.settings import Settings

RECORDS, MANIFESTS, DUMPS, DATA = "backups/", "manifests/", "database/", "data/"
IN_MEMORY = 2**22  # bytes of an object; larger ones wait on the disk while their hash is computed
PART_ENTRIES = 5000  # entries of a manifest's part: about 0.5 MB, and what a killed backup has to look at again


class BackupError(YuqingError):
    """A backup is damaged, is not there, or cannot be made or restored."""


class Entry(BaseModel):
    """An object as it was: where, how large, S3's tag and time, and the hash under which its content lies in data/."""

    model_config = ConfigDict(frozen=True)

    key: str
    size: int
    tag: str
    modified: datetime
    content_type: str
    sha256: str

    def is_still(self, size: int, tag: str, modified: datetime) -> bool:
        """Whether an object of the same key is unchanged, as far as a listing shows."""
        return (self.size, self.tag, self.modified) == (size, tag, modified)


class Part(BaseModel):
    """A part of the manifest."""

    key: str
    sha256: str
    entries: int


class Table(BaseModel):
    """A table's rows and the sum of their hashes, which does not depend on their order."""

    rows: int
    digest: str


class Dump(BaseModel):
    """The database's dump."""

    key: str
    sha256: str
    bytes: int
    revision: str
    server: str
    tables: dict[str, Table]


class Record(BaseModel):
    """A complete backup."""

    schema_version: Literal[1] = 1
    id: str
    started: datetime
    finished: datetime
    source: str
    origin: str = ""  # of the database, as `database.origin` says it; "": an earlier release noted none
    database: Dump
    parts: list[Part]
    objects: int
    bytes: int
    new_bytes: int


def target_endpoint(settings: Settings) -> S3Endpoint:
    """The bucket for backups. Raises NotConfigured, BackupError when it is the one that is backed up."""
    source, backup = s3_endpoint(settings), settings.backup
    found = S3Endpoint(
        endpoint=backup.endpoint or source.endpoint,
        bucket=backup.bucket,
        prefix=backup.prefix,
        region=backup.region or source.region,
        access_key=backup.access_key.get_secret_value() if backup.access_key else source.access_key,
        secret_key=backup.secret_key.get_secret_value() if backup.secret_key else source.secret_key,
        attempts=source.attempts,
        multipart_bytes=source.multipart_bytes,
    )
    if (found.endpoint, found.bucket) == (source.endpoint, source.bucket):
        raise BackupError(
            f"the backup's bucket {found.bucket} is the one that is backed up",
            cure="set YUQING_BACKUP__BUCKET to another",
        )
    return found


def data_key(sha256: str) -> str:
    """Where a content lies."""
    return f"{DATA}{sha256[:2]}/{sha256}"


def store_spooled(
    store: ObjectStore,
    key: str,
    spool: tempfile.SpooledTemporaryFile[bytes],
    size: int,
    content_type: str | None = None,
) -> None:
    """Store what was spooled: a small content in one request, a large one in parts. Raises ObjectStoreError."""
    spool.seek(0)
    if size <= IN_MEMORY:
        store.put(key, spool.read(), content_type=content_type)
    else:
        store.put_stream(key, spool, content_type=content_type)


def record_ids(backups: ObjectStore) -> list[str]:
    """The complete backups, oldest first; none where there is no bucket. Raises ObjectStoreError."""
    try:
        return [
            item.key.removeprefix(RECORDS).removesuffix(".json")
            for item in backups.list(RECORDS)
            if item.key.endswith(".json")
        ]
    except BucketMissing:
        return []


def read_record(backups: ObjectStore, name: str) -> Record:
    """A backup's record; "latest" is the newest. Raises BackupError: there is none, or it is damaged."""
    known = record_ids(backups)
    where = f"bucket {backups.endpoint.bucket}" + (
        f", prefix {backups.endpoint.prefix}" if backups.endpoint.prefix else ""
    )
    if not known:
        raise BackupError(
            f"there is no backup of yuqing in {where}",
            cure="check YUQING_BACKUP__BUCKET, __PREFIX and __ENDPOINT, or make one with `yuqing backup`",
        )
    if name == "latest":
        name = known[-1]
    if name not in known:
        shown = ", ".join(known[-5:])
        raise BackupError(f"there is no complete backup {name} in {where}", cure=f"the latest are {shown}")
    try:
        return Record.model_validate_json(backups.get(f"{RECORDS}{name}.json"))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "file"
        raise BackupError(
            f"the record of the backup {name} is damaged: {where}: {problem['msg']}", cure="take an earlier backup"
        ) from None


def part_key(backup: str, number: int) -> str:
    """The key of a manifest's part."""
    return f"{MANIFESTS}{backup}/{number:06}.jsonl.gz"


def write_part(backups: ObjectStore, backup: str, number: int, entries: Sequence[Entry]) -> Part:
    """Store a part of the manifest. Raises ObjectStoreError."""
    lines = "".join(entry.model_dump_json() + "\n" for entry in entries)
    data = gzip.compress(lines.encode(), mtime=0)
    key = part_key(backup, number)
    backups.put(key, data, content_type="application/gzip")
    return Part(key=key, sha256=hashlib.sha256(data).hexdigest(), entries=len(entries))


def read_part(backups: ObjectStore, part: Part) -> list[Entry]:
    """A part's entries. Raises BackupError when it is gone or is not what the record says."""
    try:
        data = backups.get(part.key)
    except ObjectMissing:
        raise BackupError(f"{part.key} of the backup is missing", cure="take an earlier backup") from None
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise BackupError(f"{part.key} of the backup is damaged: its hash is another", cure="take an earlier backup")
    return _entries(data)


def _entries(data: bytes) -> list[Entry]:
    return [Entry.model_validate_json(line) for line in gzip.decompress(data).splitlines()]


def entries(backups: ObjectStore, record: Record) -> Iterator[Entry]:
    """All objects of a backup, a part in memory at a time. Raises BackupError."""
    for part in record.parts:
        yield from read_part(backups, part)


def rank(key: str) -> tuple[int, str]:
    """The order in which objects are backed up: see the package's own words."""
    order = ("seen/", "raw/", "media/")
    return next((number for number, prefix in enumerate(order) if key.startswith(prefix)), len(order)), key


def known_entries(backups: ObjectStore) -> Iterator[Entry]:
    """What earlier backups hold, in the order of `rank`: the last complete one, and those that were broken off after it.

    A part that cannot be read is passed over: its objects are read again. Raises ObjectStoreAway.
    """
    complete = record_ids(backups)
    last = complete[-1] if complete else ""
    later = [name for name in backups.folders(MANIFESTS) if name >= last]

    def of(name: str) -> Iterator[Entry]:
        for item in backups.list(f"{MANIFESTS}{name}/"):
            try:
                yield from _entries(backups.get(item.key))
            except (OSError, EOFError, ValueError, ObjectMissing):
                continue

    return heapq.merge(*(of(name) for name in later), key=lambda entry: rank(entry.key))


def as_json(record: Record) -> dict[str, Any]:
    """What the command line tells of a backup."""
    return {
        "id": record.id,
        "finished": record.finished.isoformat(),
        "objects": record.objects,
        "bytes": record.bytes,
        "new_bytes": record.new_bytes,
        "database_bytes": record.database.bytes,
        "rows": sum(table.rows for table in record.database.tables.values()),
        "revision": record.database.revision,
    }


def dump_json(record: Record) -> bytes:
    """A record as it is stored."""
    return json.dumps(json.loads(record.model_dump_json()), indent=1).encode() + b"\n"
