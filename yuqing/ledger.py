"""Which batches a stage has settled. The batch is the unit of exactly-once effect."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, text

from yuqing.objects import ObjectInfo, ObjectStore

RAW = "raw/"


def pending_batches(connection: Connection, store: ObjectStore, stage: str) -> list[ObjectInfo]:
    """The batches under raw/ that the stage has no ledger row for, oldest first. Raises ObjectStoreAway.

    A batch's name is a ULID made when it was opened, so that late writers of an old day are found too: all day
    folders are listed, and only keys are compared.
    """
    settled = set(
        connection.execute(text("SELECT batch_key FROM ledger WHERE stage = :stage"), {"stage": stage}).scalars()
    )
    found = (item for item in store.list(RAW) if item.key.endswith(".jsonl.gz") and item.key not in settled)
    return sorted(found, key=lambda item: (item.key.rsplit("/", 1)[-1], item.key))


def record(
    connection: Connection,
    stage: str,
    batch_key: str,
    state: Literal["done", "failed"],
    counts: Mapping[str, Any],
    started: datetime,
    error: str | None = None,
) -> bool:
    """Settle a batch inside the caller's transaction; False when another worker had settled it first."""
    result = connection.execute(
        text(
            "INSERT INTO ledger (stage, batch_key, state, counts, error, started_at) "
            "VALUES (:stage, :batch_key, :state, CAST(:counts AS jsonb), :error, :started) "
            "ON CONFLICT (stage, batch_key) DO NOTHING"
        ),
        {
            "stage": stage,
            "batch_key": batch_key,
            "state": state,
            "counts": json.dumps(counts, ensure_ascii=False),
            "error": error,
            "started": started,
        },
    )
    return result.rowcount == 1
