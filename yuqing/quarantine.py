"""What a stage could not use is kept with its reason, never dropped."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from yuqing.objects import ObjectStore, ObjectWriter


def key_of(stage: str, batch: str, day: datetime) -> str:
    """quarantine/<stage>/dt=<day>/<batch>.jsonl.gz; the batch may be a whole key, of which the last part counts."""
    name = batch.rsplit("/", 1)[-1].removesuffix(".jsonl.gz")
    return f"quarantine/{stage}/dt={day.astimezone(UTC):%Y-%m-%d}/{name}.jsonl.gz"


def write(
    store: ObjectWriter, stage: str, batch: str, records: Sequence[dict[str, Any]], *, day: datetime | None = None
) -> str:
    """Keep records, each with at least a "reason"; returns the key. The same batch and day give the same key.

    Pass the batch's own day so that a repetition after midnight overwrites instead of doubling.
    Raises ObjectStoreError, and ValueError for a record without a reason.
    """
    for record in records:
        if not record.get("reason"):
            raise ValueError(f"a quarantined record has no reason: {str(record)[:80]}")
    key = key_of(stage, batch, day or datetime.now(UTC))
    store.put(key, pack(records), content_type="application/gzip")
    return key


def replace(store: ObjectStore, key: str, records: Sequence[dict[str, Any]]) -> None:
    """Write a quarantine object's records anew; without any it is removed. Raises ObjectStoreError."""
    if not records:
        store.delete(key)
    else:
        store.put(key, pack(records), content_type="application/gzip")


def pack(records: Sequence[dict[str, Any]]) -> bytes:
    """The bytes of a quarantine object; the same records give the same ones."""
    lines = "".join(json.dumps(record, ensure_ascii=False, default=str) + "\n" for record in records)
    return gzip.compress(lines.encode("utf-8", "surrogatepass"), mtime=0)


def read(store: ObjectStore, key: str) -> list[dict[str, Any]]:
    """The records of a quarantined batch. Raises ObjectMissing."""
    return unpack(store.get(key))


def unpack(data: bytes) -> list[dict[str, Any]]:
    """The records in an object's bytes. Raises ValueError, OSError, EOFError or zlib.error for what is none."""
    # Not splitlines(): the texts hold line separators of Unicode, which JSON leaves as they are.
    lines = gzip.decompress(data).decode("utf-8", "surrogatepass").split("\n")
    return [json.loads(line) for line in lines if line]
