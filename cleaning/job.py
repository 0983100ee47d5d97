"""`yuqing clean`: the batches that are pending, as one readable plan."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from cleaning import publish
from cleaning.crawl_runs import load_reports
from cleaning.java import java_home
from cleaning.stage import STAGE, Destination
from yuqing import ledger, watchlist
from yuqing.contracts import now
from yuqing.database import session
from yuqing.endpoints import database_url
from yuqing.errors import YuqingError
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = get_logger("cleaning")


class CleaningFailed(YuqingError):
    """Spark gave a round of batches up; they stay pending."""


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


def spark_session(settings: Settings) -> "SparkSession":
    """The process's Spark session, started when there is none: 5-10 s. Raises JavaMissing."""
    from pyspark.sql import SparkSession

    if session := SparkSession.getActiveSession():
        return session
    options = {
        "spark.driver.memory": settings.cleaning.driver_memory,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(settings.state / "spark-warehouse"),
        "spark.python.worker.idleTimeoutSeconds": str(settings.cleaning.worker_silence_s),
        "spark.python.worker.killOnIdleTimeout": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(settings.cleaning.rows_a_transfer),
    }
    if settings.cleaning.master.startswith("local"):
        options |= _local_options(settings)
    builder = SparkSession.builder.master(settings.cleaning.master).appName("yuqing-clean")
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _local_options(settings: Settings) -> dict[str, str]:
    """What a driver needs that is its own cluster: this Python, this checkout, a Java, no open ports."""
    here = str(Path(__file__).parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != here]
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *paths])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["JAVA_HOME"] = str(java_home(settings.cache))
    logging = Path(__file__).with_name("log4j2.json").as_uri()
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # The serial collector and the quick compiler: a session lives for seconds, and the work is in Python.
        "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile={logging}",
    }


def run_plan(
    spark: "SparkSession",
    settings: Settings,
    batches: Sequence[str],
    companies: list[watchlist.WatchedCompany],
    run_id: str,
) -> list[publish.Receipt]:
    """Read, clean and stage the batches; returns the receipts of the attempts that Spark committed."""
    from pyspark.sql.pandas.types import from_arrow_schema

    from cleaning import stage
    from cleaning.s3source import raw_batches

    store = ObjectStore.from_settings(settings)
    tuning = settings.cleaning
    destination = Destination(store, database_url(settings), run_id)
    spark.dataSource.register(raw_batches(store, batches, tuning.maximum_record_bytes, tuning.rows_a_transfer))

    records = spark.read.format("raw_batches").load()
    # One function for both steps: a second Python worker and the way of all texts through the JVM are saved.
    work = partial(stage.clean_and_stage, companies=companies, settings=tuning, destination=destination)
    receipts = records.mapInArrow(work, from_arrow_schema(stage.RECEIPT))
    found = {row.batch: publish.Receipt(**row.asDict()) for row in receipts.collect()}
    # A batch without a line has no rows to carry a receipt; it is settled with nothing.
    return [found.get(batch, publish.Receipt(batch)) for batch in batches]


def clean_pending(
    settings: Settings,
    *,
    before: Callable[[int], None] = lambda _: None,
    after: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Clean what is pending, round by round; Spark starts only when there is something. `before` and `after` report progress.

    Raises NotConfigured, DatabaseAway, ObjectStoreAway, JavaMissing, CleaningFailed, StagingLost.
    """
    store = ObjectStore.from_settings(settings)
    pool = session.engine(settings)
    summary = Summary()
    try:
        with session.transaction(pool) as connection:
            pending = ledger.pending_batches(connection, store, STAGE)
            companies = watchlist.from_database(connection)
        summary.crawl_runs = load_reports(pool, store)  # a crawl that brought nothing has one, too
        before(len(pending))
        for start in range(0, len(pending), settings.cleaning.batches_a_round):
            batches = pending[start : start + settings.cleaning.batches_a_round]
            _round(settings, pool, store, batches, companies, summary)
            after(len(batches))
        with session.transaction(pool) as connection:
            summary.reprint_groups = reprint_groups(connection)
    finally:
        pool.dispose()
    return summary


def reprint_groups(connection: Connection) -> int:
    """How many groups have two or more documents."""
    return int(
        connection.execute(
            text("SELECT count(*) FROM (SELECT FROM documents GROUP BY group_id HAVING count(*) > 1) AS shared")
        ).scalar_one()
    )


def _round(
    settings: Settings,
    pool: Engine,
    store: ObjectStore,
    batches: list[str],
    companies: list[watchlist.WatchedCompany],
    summary: Summary,
) -> None:
    started, run_id = now(), new_ulid()
    clock = time.perf_counter()
    try:
        receipts = run_plan(spark_session(settings), settings, batches, companies, run_id)
    except YuqingError:
        raise
    except Exception as error:
        raise _explained(error, pool, store, batches[0]) from error
    staged = time.perf_counter()
    with session.transaction(pool) as connection:
        counts = publish.merge(connection, run_id, receipts, started, settings.cleaning)
    log.info(
        "round settled",
        run_id=run_id,
        batches=len(counts),
        documents=sum(count.cleaned for count in counts.values()),
        spark_s=round(staged - clock, 1),
        merge_s=round(time.perf_counter() - staged, 1),
    )
    for receipt in receipts:
        if receipt.error:
            log.warning("batch quarantined", batch=receipt.batch, reason=receipt.error)
    summary.batches += len(counts)
    summary.failed_batches += sum(receipt.error is not None for receipt in receipts if receipt.batch in counts)
    for count in counts.values():
        for name, value in vars(count).items():
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
        f"Spark gave up: {(python or lines or [type(error).__name__])[0][:300]}",
        cure="run `yuqing clean` again; the batches are still pending",
    )
