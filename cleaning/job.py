"""`yuqing clean`: the batches that are pending, or a replay of quarantine, cleaned and merged round by round."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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


@dataclass(frozen=True)
class _Round:
    """Batches that are cleaned and staged: what their merge needs, and how long (seconds) the cleaning took."""

    run_id: str
    started: datetime
    companies: list[watchlist.WatchedCompany]
    receipts: list[publish.Receipt]
    on_spark: bool
    seconds: float


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
        for receipts in _settle(settings, pool, store, pending, summary):
            after(len(receipts))
        with session.transaction(pool) as connection:
            if summary.cleaned:
                publish.index_texts(connection)
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
        for receipts in _settle(settings, pool, store, pending, summary):
            for receipt in receipts:
                replay.keep_rest(pool, store, receipt.batch, receipt)
            after(len(receipts))
        with session.transaction(pool) as connection:
            if summary.cleaned:
                publish.index_texts(connection)
            summary.reprint_groups = reprint_groups(connection)
    finally:
        pool.dispose()
    return summary


def _settle(
    settings: Settings, pool: Engine, store: ObjectStore, pending: Sequence[ObjectInfo], summary: Summary
) -> Iterator[list[publish.Receipt]]:
    """Clean and merge all batches; yields each round's receipts.

    With Spark, executors clean the next rounds while the database merges one. Merges keep the order of the rounds, so that what
    each batch is said to have brought does not depend on who was faster.
    """
    tuning = settings.cleaning
    rounds = in_rounds(pending, tuning.batches_a_round, tuning.bytes_a_round)
    if not pending or sum(item.size for item in pending) < tuning.spark_from_bytes:
        for batches in rounds:
            yield _merge(settings, pool, _clean(settings, pool, store, batches, None), summary)
        return
    spark = _spark(settings, pool, store, pending[0].key)
    cleaned: deque[Future[_Round]] = deque()
    finished = False
    with ThreadPoolExecutor(tuning.rounds_at_once, "round") as threads:
        try:
            for batches in rounds:
                cleaned.append(threads.submit(_clean, settings, pool, store, batches, spark))
                if len(cleaned) == tuning.rounds_at_once:
                    yield _merge(settings, pool, cleaned.popleft().result(), summary)
            while cleaned:
                yield _merge(settings, pool, cleaned.popleft().result(), summary)
            finished = True
        finally:
            if not finished:  # what is not merged yet stays pending
                threads.shutdown(wait=False, cancel_futures=True)
                spark.sparkContext.cancelAllJobs()


def in_rounds(pending: Sequence[ObjectInfo], most: int, most_bytes: int) -> Iterator[list[str]]:
    """Runs of at most so many batches, each ended by the batch with which it reaches so many bytes."""
    batches: list[str] = []
    size = 0
    for item in pending:
        batches.append(item.key)
        size += item.size
        if len(batches) == most or size >= most_bytes:
            yield batches
            batches, size = [], 0
    if batches:
        yield batches


def reprint_groups(connection: Connection) -> int:
    """How many groups have two or more documents."""
    return int(
        connection.execute(
            text("SELECT count(*) FROM (SELECT FROM documents GROUP BY group_id HAVING count(*) > 1) AS shared")
        ).scalar_one()
    )


def _spark(settings: Settings, pool: Engine, store: ObjectStore, batch: str) -> "SparkSession":
    from cleaning.spark import spark_session

    try:
        return spark_session(settings)
    except YuqingError:
        raise
    except Exception as error:
        raise _explained(error, pool, store, batch) from error


def _clean(
    settings: Settings, pool: Engine, store: ObjectStore, batches: Sequence[str], spark: "SparkSession | None"
) -> _Round:
    """Clean some batches and stage their rows; without Spark when there is none."""
    started, run_id = now(), new_ulid()
    clock = time.perf_counter()
    with session.transaction(pool) as connection:
        companies = watchlist.from_database(connection)
    destination = Destination(store, database_url(settings), run_id)
    try:
        if spark is None:
            found = clean_here(settings, batches, companies, destination)
        else:
            from cleaning.spark import run_plan

            found = run_plan(spark, settings, batches, companies, destination)
    except YuqingError:
        raise
    except Exception as error:
        raise _explained(error, pool, store, batches[0]) from error
    by_batch = {receipt.batch: receipt for receipt in found}
    # A batch without a line has no rows to carry a receipt; it is settled with nothing.
    receipts = [by_batch.get(batch, publish.Receipt(batch)) for batch in batches]
    return _Round(run_id, started, companies, receipts, spark is not None, time.perf_counter() - clock)


def _merge(settings: Settings, pool: Engine, cleaned: _Round, summary: Summary) -> list[publish.Receipt]:
    """Make a round's documents visible; returns its receipts."""
    clock = time.perf_counter()
    with session.transaction(pool) as connection:
        # A replay without a document has no effect that the ledger would have to know of.
        effective = [receipt for receipt in cleaned.receipts if receipt.cleaned or not is_replay(receipt.batch)]
        counts = publish.merge(
            connection, cleaned.run_id, effective, cleaned.started, settings.cleaning, cleaned.companies
        )
    log.info(
        "round settled",
        run_id=cleaned.run_id,
        batches=len(cleaned.receipts),
        documents=sum(count.cleaned for count in counts.values()),
        spark=cleaned.on_spark,
        cleaning_s=round(cleaned.seconds, 1),
        merge_s=round(time.perf_counter() - clock, 1),
    )
    for receipt in cleaned.receipts:
        if receipt.error:
            log.warning("batch quarantined", batch=receipt.batch, reason=receipt.error)
    _count(summary, cleaned.receipts, counts)
    return cleaned.receipts


def _count(summary: Summary, receipts: Sequence[publish.Receipt], counts: Mapping[str, publish.Counts]) -> None:
    for receipt in receipts:
        if receipt.batch not in counts and not is_replay(receipt.batch):
            continue  # another driver has settled it meanwhile
        summary.batches += 1
        summary.failed_batches += receipt.error is not None
        for name, value in vars(counts.get(receipt.batch, publish.Counts(quarantined=receipt.quarantined))).items():
            setattr(summary, name, getattr(summary, name) + value)


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
