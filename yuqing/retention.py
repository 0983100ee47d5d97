"""What may be deleted by age: raw batches, quarantined records, recordings, windows of sound, crawls' reports.

Never what the ledger or the queue still needs. Here only objects go (rows: retention_rows.py): documents hold masked text, and
the ledger's rows keep a batch from being taken for a new one.
Deleting is idempotent and depends on nothing but age, ledger and queue, so that a run that was killed is finished by the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from yuqing.contracts import read_raw_document
from yuqing.database import session
from yuqing.errors import ContractError
from yuqing.gzip_lines import DamagedObject, gzip_lines
from yuqing.jobs import TRANSCRIBE
from yuqing.ledger import RAW, pending_batches
from yuqing.objects import ObjectInfo, ObjectMissing, ObjectStore
from yuqing.settings import RetentionSettings

# The stages that read raw/: a batch is needed until each has a row of it in the ledger.
READERS_OF_RAW = ("cleaning",)

_RAW = re.compile(r"raw/[^/]+/(\d{4})/(\d\d)/(\d\d)/[^/]+\.jsonl\.gz")
_LINES = re.compile(r"lines/[^/]+/[^/]+/(\d{4})/(\d\d)/(\d\d)/[^/]+")
_QUARANTINE = re.compile(r"quarantine/[^/]+/dt=(\d{4})-(\d\d)-(\d\d)/.+")
_MEDIA = re.compile(r"media/[0-9a-f]{2}/([0-9a-f]{64})\.[^/]+")
_PARTIAL = re.compile(r"partial/asr/([0-9a-f]{64})/.+")
_REPORT = re.compile(r"reports/crawl/([^/]+)/(\d{4})-(\d\d)-(\d\d)/([^/]+)\.json")
_SCREENSHOT = re.compile(r"reports/screenshots/[^/]+/[^/]+/[^/]+")
_A_QUERY = 1000
_DELETERS = 8  # at the same time; S3's latency dominates


@dataclass(frozen=True)
class Expired:
    """Objects of a kind that are older than the setting: what may go, and how many are still needed."""

    kind: str
    days: int
    objects: tuple[ObjectInfo, ...]
    needed: int

    @property
    def bytes(self) -> int:
        """Of the objects that may go."""
        return sum(item.size for item in self.objects)


def expired(pool: Engine, store: ObjectStore, settings: RetentionSettings, now: datetime) -> list[Expired]:
    """What the settings let go at this moment, kind by kind; kinds without a number of days are left out.

    Raises ObjectStoreAway, DatabaseAway.
    """
    found = []
    if settings.raw_days is not None:
        found.append(_raw(pool, store, settings.raw_days, now))
    if settings.quarantine_days is not None:
        limit = now - timedelta(days=settings.quarantine_days)
        objects = tuple(item for item in store.list("quarantine/") if _is_before(_QUARANTINE, item.key, limit))
        found.append(Expired("quarantine", settings.quarantine_days, objects, 0))
    if settings.media_days is not None:
        found.append(_media(pool, store, settings.media_days, now))
    if settings.partial_days is not None:
        found.append(_partial(pool, store, settings.partial_days, now))
    if settings.reports_days is not None:
        found.append(_reports(pool, store, settings.reports_days, now))
    return found


def delete(store: ObjectStore, objects: Sequence[ObjectInfo]) -> None:
    """Delete objects; those that are gone already are no error. Raises ObjectStoreAway."""
    with ThreadPoolExecutor(_DELETERS) as deleters:
        for _ in deleters.map(lambda item: store.delete(item.key), objects):
            pass


def _is_before(names: re.Pattern[str], key: str, limit: datetime, first: int = 1) -> bool:
    """Whether the day in an object's name (groups from `first` on) had ended at the limit. One without a day is none of ours."""
    found = names.fullmatch(key)
    if found is None:
        return False
    try:
        day = datetime(int(found[first]), int(found[first + 1]), int(found[first + 2]), tzinfo=UTC)
    except ValueError:  # the 31st of June
        return False
    return day + timedelta(days=1) <= limit


def _raw(pool: Engine, store: ObjectStore, days: int, now: datetime) -> Expired:
    limit = now - timedelta(days=days)
    old = [item for item in store.list(RAW) if _is_before(_RAW, item.key, limit)]
    statement = (
        "SELECT batch_key FROM ledger WHERE batch_key = ANY(:keys) AND stage = ANY(:stages) "
        "GROUP BY batch_key HAVING count(DISTINCT stage) = :number"
    )
    parameters = {"stages": list(READERS_OF_RAW), "number": len(READERS_OF_RAW)}
    settled = _asked(pool, statement, [item.key for item in old], parameters)
    free = tuple(item for item in old if item.key in settled)
    # What the cleaning keeps of a batch's lines (cleaning/site_memory.py) serves for a day.
    lines = tuple(item for item in store.list("lines/") if _is_before(_LINES, item.key, limit))
    return Expired("raw", days, free + lines, len(old) - len(free))


def _media(pool: Engine, store: ObjectStore, days: int, now: datetime) -> Expired:
    """Recordings stored before the limit, without a page that was fetched since, an upload since, a waiting transcription or a
    pending batch.

    A crawler stores a recording once, however old it is when another page shows it: hence the look into the pending batches.
    """
    limit = now - timedelta(days=days)
    old = {
        found[1]: item
        for item in store.list("media/")
        if item.modified < limit and (found := _MEDIA.fullmatch(item.key))
    }
    statement = (
        "SELECT sha256 FROM document_media JOIN documents USING (doc_id) WHERE sha256 = ANY(:keys) AND fetched_at >= :limit "
        "UNION SELECT sha256 FROM uploads WHERE sha256 = ANY(:keys) AND created_at >= :limit "
        "UNION SELECT args->>'media_sha256' FROM procrastinate_jobs WHERE task_name = :task "
        "AND status IN ('todo', 'doing') AND args->>'media_sha256' = ANY(:keys)"
    )
    needed = _asked(pool, statement, list(old), {"limit": limit, "task": TRANSCRIBE})
    if old:
        needed |= _awaited(pool, store)
    free = tuple(item for sha256, item in old.items() if sha256 not in needed)
    return Expired("media", days, free, len(old) - len(free))


def _partial(pool: Engine, store: ObjectStore, days: int, now: datetime) -> Expired:
    """Windows of recordings that no transcription waits for or works on: a worker takes its own away when it is done."""
    limit = now - timedelta(days=days)
    old = [
        (found[1], item)
        for item in store.list("partial/asr/")
        if item.modified < limit and (found := _PARTIAL.fullmatch(item.key))
    ]
    statement = (
        "SELECT args->>'media_sha256' FROM procrastinate_jobs WHERE task_name = :task "
        "AND status IN ('todo', 'doing') AND args->>'media_sha256' = ANY(:keys)"
    )
    needed = _asked(pool, statement, sorted({sha256 for sha256, _ in old}), {"task": TRANSCRIBE})
    free = tuple(item for sha256, item in old if sha256 not in needed)
    return Expired("partial", days, free, len(old) - len(free))


def _reports(pool: Engine, store: ObjectStore, days: int, now: datetime) -> Expired:
    """Reports of crawls that are in crawl_runs, or were refused, but the newest of each site; and old screenshots."""
    limit = now - timedelta(days=days)
    old = {
        item.key: (found[1], found[5], item)
        for item in store.list("reports/crawl/")
        if (found := _REPORT.fullmatch(item.key)) and _is_before(_REPORT, item.key, limit, first=2)
    }
    loaded = _asked(
        pool,
        "SELECT site || '/' || run_id FROM crawl_runs WHERE run_id = ANY(:keys)",
        [run for _, run, _ in old.values()],
        {},
    )
    newest = _asked(
        pool,
        "SELECT site || '/' || max(run_id) FROM crawl_runs WHERE site = ANY(:keys) GROUP BY site",
        sorted({site for site, _, _ in old.values()}),
        {},
    )
    refused = _asked(
        pool, "SELECT batch_key FROM ledger WHERE stage = 'crawl_runs' AND batch_key = ANY(:keys)", list(old), {}
    )
    free = tuple(
        item
        for key, (site, run, item) in old.items()
        if key in refused or (f"{site}/{run}" in loaded and f"{site}/{run}" not in newest)
    )
    pictures = tuple(
        item for item in store.list("reports/screenshots/") if item.modified < limit and _SCREENSHOT.fullmatch(item.key)
    )
    return Expired("reports", days, free + pictures, len(old) - len(free))


def _awaited(pool: Engine, store: ObjectStore) -> set[str]:
    """The recordings (SHA-256) that documents of pending batches name."""
    with session.transaction(pool) as connection:
        pending = {item.key for stage in READERS_OF_RAW for item in pending_batches(connection, store, stage)}
    found: set[str] = set()
    for key in sorted(pending):
        try:
            lines = gzip_lines(store.get(key))
        except (ObjectMissing, DamagedObject):
            continue
        for line in lines:
            with suppress(ContractError):
                found |= {item.sha256 for item in read_raw_document(line).media if item.sha256}
    return found


def _asked(pool: Engine, statement: str, keys: Sequence[str], parameters: dict[str, object]) -> set[str]:
    """The first column of a query about `:keys`, a thousand at a time."""
    found: set[str] = set()
    for start in range(0, len(keys), _A_QUERY):
        with session.transaction(pool) as connection:
            values = {**parameters, "keys": list(keys[start : start + _A_QUERY])}
            found |= set(connection.execute(text(statement), values).scalars())
    return found
