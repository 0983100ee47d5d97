"""What cleaning takes as one unit: a raw batch, or the replay of a quarantine object; and the names that follow from it."""

import hashlib
import re
from datetime import UTC, datetime

STAGE = "cleaning"

# Only these hold raw documents: what the cleaning, or the crawler, could not use.
_QUARANTINE = re.compile(r"quarantine/(?:cleaning|crawler)/dt=(\d{4})-(\d\d)-(\d\d)/([^/#]+)\.jsonl\.gz")
_CONTENT_DIGITS = 16


def batch_day(batch: str) -> datetime:
    """The day in a batch's name, raw/<site>/<YYYY>/<MM>/<DD>/<ulid>.jsonl.gz, or in a replay's (see replay_name)."""
    if is_replay(batch):
        found = _QUARANTINE.fullmatch(quarantine_key(batch))
        assert found is not None
        year, month, day = found.groups()[:3]
    else:
        year, month, day = batch.split("/")[-4:-1]
    return datetime(int(year), int(month), int(day), tzinfo=UTC)


def parquet_key(batch: str) -> str:
    """clean/dt=<batch's date>/<batch>.parquet; the same for every attempt at the batch. A replay has its content in its name."""
    name, _, content = batch.rsplit("/", 1)[-1].partition("#")
    name = name.removesuffix(".jsonl.gz") + (f".{content}" if content else "")
    return f"clean/dt={batch_day(batch):%Y-%m-%d}/{name}.parquet"


def replay_name(key: str, data: bytes) -> str:
    """The name of cleaning a quarantine object's present content again: quarantine/<stage>/dt=<day>/<batch>.jsonl.gz#<digest>.

    It stands in the ledger. Once its usable records are documents the object is written anew without them, so that
    another replay has another name.
    """
    return f"{key}#{hashlib.sha256(data).hexdigest()[:_CONTENT_DIGITS]}"


def is_replay(batch: str) -> bool:
    """Whether the batch is a replay and not a raw one."""
    return "#" in batch


def quarantine_key(replay: str) -> str:
    """The object that a replay cleans again."""
    return replay.partition("#")[0]


def can_be_replayed(key: str) -> bool:
    """Whether the key is that of a quarantine object that may hold raw documents."""
    return _QUARANTINE.fullmatch(key) is not None
