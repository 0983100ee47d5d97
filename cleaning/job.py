"""`yuqing clean`: the batches that are pending, or a replay of quarantine, cleaned and merged round by round."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine, text

from cleaning import publish, replay
from cleaning.batches import STAGE, is_replay
from cleaning.crawl_runs import load_reports
from cleaning.stage import Attempt, Destination, clean_batches
from cleaning.text_index import TextIndex
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

_APART_S = 0.2  # a thread starts its job within some 50 ms


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
class _Cleaner:
    """Cleans and stages batches under a run's name, with the watchlist of a moment; returns their receipts."""

    run_id: str
    companies: list[watchlist.WatchedCompany]
    on_spark: bool
    clean: Callable[[Sequence[str]], list[publish.Receipt]]


@dataclass(frozen=True)
class _Round:
    """Batches that are cleaned and staged: what their merge needs, and how long (seconds) the cleaning took."""

    cleaner: _Cleaner
    started: datetime
    receipts: list[publish.Receipt]
    seconds: float


def clean_pending(
    settings: Settings,
    *,
    before: Callable[[int], None] = lambda _: None,
    after: Callable[[int], None] = lambda _: None,
    cleaned: Callable[[], None] = lambda: None,
) -> Summary:
    """Clean the batches that are pending, round by round, and load the crawls' reports. `before` and `after` report progress.

    `cleaned` is called, in another thread, when Spark has nothing left to do and the last rounds are being merged.
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
        for receipts in _settle(settings, pool, store, pending, summary, cleaned):
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
    cleaned: Callable[[], None] = lambda: None,
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
        for receipts in _settle(settings, pool, store, pending, summary, cleaned):
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
    settings: Settings,
    pool: Engine,
    store: ObjectStore,
    pending: Sequence[ObjectInfo],
    summary: Summary,
    all_cleaned: Callable[[], None],
) -> Iterator[list[publish.Receipt]]:
    """Clean and merge all batches; yields each round's receipts."""
    tuning = settings.cleaning
    if not pending or sum(item.size for item in pending) < tuning.spark_from_bytes:
        for batches in in_rounds(pending, tuning.batches_a_round, tuning.bytes_a_round):
            here = _driver(settings, pool, store)
            yield _merge(settings, pool, _clean(here, pool, store, batches), summary)
        return
    with (
        TextIndex(pool, tuning.index_every) as index,
        closing(_on_spark(settings, pool, store, pending, all_cleaned)) as rounds,
    ):
        for cleaned in rounds:
            receipts = _merge(settings, pool, cleaned, summary)
            index.merged(sum(receipt.cleaned for receipt in receipts))
            yield receipts


def _on_spark(
    settings: Settings,
    pool: Engine,
    store: ObjectStore,
    pending: Sequence[ObjectInfo],
    all_cleaned: Callable[[], None],
) -> Generator[_Round, None, None]:
    """All rounds, cleaned; executors clean the next ones while the database merges one.

    They come in their order, so that what each batch is said to have brought does not depend on who was faster. While Spark
    starts, the driver cleans the first batches itself, those that are no more than a round and leave one to Spark.
    """
    from cleaning.spark import cancel_jobs

    tuning = settings.cleaning
    left = sum(item.size for item in pending)
    # A plan's list of batches goes to each of its tasks.
    plans = [pending[begin : begin + tuning.batches_a_plan] for begin in range(0, len(pending), tuning.batches_a_plan)]
    with ThreadPoolExecutor(tuning.rounds_at_once, "round") as threads:
        starting = threads.submit(_executors, settings, pool, store, plans[0])
        cleaned: deque[Future[_Round]] = deque()
        finished = False
        try:
            first = 0
            for item in plans[0]:
                if starting.done() or item.size > tuning.bytes_a_round or left - item.size < tuning.bytes_a_round:
                    break
                yield _clean(_driver(settings, pool, store), pool, store, [item.key])
                left -= item.size
                first += 1
            executors, planned = starting.result(), plans[0][first:]
            for number in range(len(plans)):
                if number:
                    planned = plans[number]
                    executors = _executors(settings, pool, store, planned)
                for batches in in_rounds(planned, tuning.batches_a_round, tuning.bytes_a_round, tapered=True):
                    cleaned.append(threads.submit(_clean, executors, pool, store, batches))
                    if len(cleaned) < tuning.rounds_at_once:
                        # Spark works off jobs in the order in which they reach it, and the first round is waited for.
                        wait([cleaned[-1]], timeout=_APART_S)
                    else:
                        yield cleaned.popleft().result()
            ending = threads.submit(call_after, tuple(cleaned), all_cleaned)
            while cleaned:
                yield cleaned.popleft().result()
            finished = True
            ending.result()
        finally:
            if not finished:  # what is not merged yet stays pending
                threads.shutdown(wait=False, cancel_futures=True)
                cancel_jobs()


def call_after(rounds: Sequence[Future[_Round]], call: Callable[[], None]) -> None:
    """Call when these rounds are cleaned, and not at all when one has failed."""
    if all(cleaned.exception() is None for cleaned in rounds):
        call()


def in_rounds(
    pending: Sequence[ObjectInfo], most: int, most_bytes: int, *, tapered: bool = False
) -> Iterator[list[str]]:
    """Runs of at most so many batches, each ended by the batch with which it reaches so many bytes.

    `tapered`: or half of what is left, so that little waits to be merged when the last batch is cleaned.
    """
    batches: list[str] = []
    size, left = 0, sum(item.size for item in pending)
    for item in pending:
        batches.append(item.key)
        size += item.size
        if len(batches) == most or size >= (min(most_bytes, left / 2) if tapered else most_bytes):
            yield batches
            batches, size, left = [], 0, left - size
    if batches:
        yield batches


def reprint_groups(connection: Connection) -> int:
    """How many groups have two or more documents."""
    return int(
        connection.execute(
            text("SELECT count(*) FROM (SELECT FROM documents GROUP BY group_id HAVING count(*) > 1) AS shared")
        ).scalar_one()
    )


def _driver(settings: Settings, pool: Engine, store: ObjectStore) -> _Cleaner:
    """The driver itself: what executors do, for a few pages, for which starting Spark would take most of the time."""
    companies, destination = _prepared(settings, pool, store)
    clean = partial(
        clean_batches,
        companies=companies,
        settings=settings.cleaning,
        destination=destination,
        attempt=Attempt(0, 0),
    )
    return _Cleaner(
        destination.run_id,
        companies,
        False,
        lambda batches: [publish.Receipt(**row) for part in clean(batches) for row in part.to_pylist()],
    )


def _executors(settings: Settings, pool: Engine, store: ObjectStore, planned: Sequence[ObjectInfo]) -> _Cleaner:
    """Spark's executors, with a plan for all these batches."""
    from cleaning.spark import plan, spark_session

    batches = [item.key for item in planned]
    companies, destination = _prepared(settings, pool, store)
    try:
        clean = plan(spark_session(settings), settings, batches, companies, destination)
    except YuqingError:
        raise
    except Exception as error:
        raise _explained(error, pool, store, batches[0]) from error
    return _Cleaner(destination.run_id, companies, True, clean)


def _prepared(
    settings: Settings, pool: Engine, store: ObjectStore
) -> tuple[list[watchlist.WatchedCompany], Destination]:
    """The watchlist of now, and where a new run's results go."""
    with session.transaction(pool) as connection:
        companies = watchlist.from_database(connection)
    return companies, Destination(store, database_url(settings), new_ulid())


def _clean(cleaner: _Cleaner, pool: Engine, store: ObjectStore, batches: Sequence[str]) -> _Round:
    """Clean some batches and stage their rows."""
    started, clock = now(), time.perf_counter()
    try:
        found = cleaner.clean(batches)
    except YuqingError:
        raise
    except Exception as error:
        raise _explained(error, pool, store, batches[0]) from error
    by_batch = {receipt.batch: receipt for receipt in found}
    # A batch without a line has no rows to carry a receipt; it is settled with nothing.
    receipts = [by_batch.get(batch, publish.Receipt(batch)) for batch in batches]
    return _Round(cleaner, started, receipts, time.perf_counter() - clock)


def _merge(settings: Settings, pool: Engine, cleaned: _Round, summary: Summary) -> list[publish.Receipt]:
    """Make a round's documents visible; returns its receipts."""
    clock, by = time.perf_counter(), cleaned.cleaner
    with session.transaction(pool) as connection:
        # A replay without a document has no effect that the ledger would have to know of.
        effective = [receipt for receipt in cleaned.receipts if receipt.cleaned or not is_replay(receipt.batch)]
        counts = publish.merge(connection, by.run_id, effective, cleaned.started, settings.cleaning, by.companies)
        publish.forget_staged(connection, [receipt.batch for receipt in cleaned.receipts])
    log.info(
        "round settled",
        run_id=by.run_id,
        batches=len(cleaned.receipts),
        documents=sum(count.cleaned for count in counts.values()),
        spark=by.on_spark,
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
