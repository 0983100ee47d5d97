"""`yuqing clean`: the batches that are pending, or a replay of quarantine, cleaned and merged round by round."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Connection, Engine, text

from cleaning import publish, replay
from cleaning.batches import STAGE, is_replay
from cleaning.crawl_runs import load_reports
from cleaning.s3source import read_batch
from cleaning.stage import Attempt, Destination, clean_and_stage
from yuqing import ledger, watchlist
from yuqing.contracts import now
from yuqing.database import session
from yuqing.endpoints import database_url
from yuqing.errors import YuqingError
from yuqing.identity import new_ulid
from yuqing.objects import ObjectInfo, ObjectStore
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger("cleaning")


class CleaningFailed(YuqingError):
    """A round of batches was given up; they stay pending."""


@dataclass
class Summary:
    """What a run did.

    masked counts personal data that were hidden, reprint_groups the groups with two or more documents that there are now,
    crawl_runs the crawls whose reports were loaded.
    """

    batches: int = 0
    failed_batches: int = 0
    cleaned: int = 0
    quarantined: int = 0
    masked: int = 0
    new: int = 0
    changed: int = 0
    duplicates: int = 0
    mentions: int = 0
    reprint_groups: int = 0
    crawl_runs: int = 0


def clean_pending(
    settings: Settings,
    *,
    before: Callable[[int], None] = lambda _: None,
    after: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Clean the batches that are pending, round by round, and load the crawls' reports. `before` and `after` report progress.

    Raises NotConfigured, DatabaseAway, ObjectStoreAway, JavaMissing, CleaningFailed, StagingLost.
    """
    store = ObjectStore.from_settings(settings)
    pool = session.engine(settings)
    summary = Summary()
    try:
        with session.transaction(pool) as connection:
            pending = ledger.pending_batches(connection, store, STAGE)
        summary.crawl_runs = load_reports(pool, store)  # a crawl that brought nothing has one, too
        before(len(pending))
        for batches in _rounds(pending, settings.cleaning.batches_a_round):
            _round(settings, pool, store, batches, summary)
            after(len(batches))
        with session.transaction(pool) as connection:
            summary.reprint_groups = reprint_groups(connection)
    finally:
        pool.dispose()
    return summary


def clean_quarantine(
    settings: Settings,
    names: Sequence[str],
    *,
    before: Callable[[int], None] = lambda _: None,
    after: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Clean what the quarantine objects of these keys or prefixes hold once more, with today's code and settings.

    Raises NotReplayable and what clean_pending raises.
    """
    store = ObjectStore.from_settings(settings)
    pool = session.engine(settings)
    summary = Summary()
    try:
        replays = replay.find(pool, store, names)
        before(len(replays))
        done = replay.settled(pool, [item.key for item in replays])  # and killed before their objects were written anew
        for name in sorted(done):
            replay.keep_rest(pool, store, name)
            after(1)
        pending = [item for item in replays if item.key not in done]
        for batches in _rounds(pending, settings.cleaning.batches_a_round):
            for receipt in _round(settings, pool, store, batches, summary):
                replay.keep_rest(pool, store, receipt.batch, receipt)
            after(len(batches))
        with session.transaction(pool) as connection:
            summary.reprint_groups = reprint_groups(connection)
    finally:
        pool.dispose()
    return summary


def _rounds(pending: Sequence[ObjectInfo], most: int) -> Iterator[Sequence[ObjectInfo]]:
    return (pending[start : start + most] for start in range(0, len(pending), most))


def reprint_groups(connection: Connection) -> int:
    """How many groups have two or more documents."""
    return int(
        connection.execute(
            text("SELECT count(*) FROM (SELECT FROM documents GROUP BY group_id HAVING count(*) > 1) AS shared")
        ).scalar_one()
    )


def _round(
    settings: Settings, pool: Engine, store: ObjectStore, objects: Sequence[ObjectInfo], summary: Summary
) -> list[publish.Receipt]:
    """Clean and merge some batches; returns the receipts of all."""
    started, run_id = now(), new_ulid()
    clock = time.perf_counter()
    batches = [item.key for item in objects]
    with session.transaction(pool) as connection:
        companies = watchlist.from_database(connection)
    destination = Destination(store, database_url(settings), run_id)
    here = sum(item.size for item in objects) < settings.cleaning.spark_from_bytes
    try:
        if here:
            found = clean_here(settings, batches, companies, destination)
        else:
            from cleaning.spark import run_plan, spark_session

            found = run_plan(spark_session(settings), settings, batches, companies, destination)
    except YuqingError:
        raise
    except Exception as error:
        raise _explained(error, pool, store, batches[0]) from error
    by_batch = {receipt.batch: receipt for receipt in found}
    # A batch without a line has no rows to carry a receipt; it is settled with nothing.
    receipts = [by_batch.get(batch, publish.Receipt(batch)) for batch in batches]
    staged = time.perf_counter()
    with session.transaction(pool) as connection:
        # A replay without a document has no effect that the ledger would have to know of.
        effective = [receipt for receipt in receipts if receipt.cleaned or not is_replay(receipt.batch)]
        counts = publish.merge(connection, run_id, effective, started, settings.cleaning, companies)
    log.info(
        "round settled",
        run_id=run_id,
        batches=len(batches),
        documents=sum(count.cleaned for count in counts.values()),
        spark=not here,
        cleaning_s=round(staged - clock, 1),
        merge_s=round(time.perf_counter() - staged, 1),
    )
    for receipt in receipts:
        if receipt.error:
            log.warning("batch quarantined", batch=receipt.batch, reason=receipt.error)
    for receipt in receipts:
        if receipt.batch not in counts and not is_replay(receipt.batch):
            continue  # another driver has settled it meanwhile
        summary.batches += 1
        summary.failed_batches += receipt.error is not None
        for name, value in vars(counts.get(receipt.batch, publish.Counts(quarantined=receipt.quarantined))).items():
            setattr(summary, name, getattr(summary, name) + value)
    return receipts


def clean_here(
    settings: Settings, batches: Sequence[str], companies: list[watchlist.WatchedCompany], destination: Destination
) -> list[publish.Receipt]:
    """What executors do, done by the driver itself: for a few pages starting Spark would take most of the time.

    The same functions with the same effects; returns the receipts.
    """
    tuning = settings.cleaning
    records = chain.from_iterable(
        read_batch(destination.store, batch, tuning.maximum_record_bytes, tuning.rows_a_transfer) for batch in batches
    )
    found = clean_and_stage(
        records, companies=companies, settings=tuning, destination=destination, attempt=Attempt(0, 0)
    )
    return [publish.Receipt(**row) for part in found for row in part.to_pylist()]


def _explained(error: Exception, pool: Engine, store: ObjectStore, batch: str) -> YuqingError:
    """Spark wraps an executor's error in pages of Java; ask the services themselves, else take the last Python line."""
    try:
        store.exists(batch)
        with session.transaction(pool) as connection:
            connection.execute(text("SELECT 1"))
    except YuqingError as away:
        return away
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    python = [line for line in lines if "Error: " in line and not line.startswith(("at ", "org.", "java."))]
    return CleaningFailed(
        f"the cleaning gave up: {(python or lines or [type(error).__name__])[0][:300]}",
        cure="run `yuqing clean` again; the batches are still pending",
    )
