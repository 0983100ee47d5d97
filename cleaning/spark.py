"""The Spark session, and the plan that runs on it."""

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cleaning import class_archive, s3a, stage
from cleaning.batches import is_replay
from cleaning.java import java_home, java_program
from cleaning.publish import Receipt
from cleaning.python import local_python
from cleaning.s3source import raw_batches
from cleaning.shipping import planning_path, shipping_options
from yuqing.endpoints import s3_endpoint
from yuqing.settings import Settings
from yuqing.watchlist import WatchedCompany

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def spark_session(settings: Settings) -> "SparkSession":
    """The process's Spark session, started when there is none: 5-10 s. Raises JavaMissing."""
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    with suppress(PySparkRuntimeError):  # there is none
        return SparkSession.active()  # also one that another thread has started
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
    master = settings.cleaning.master
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit has chosen master and Java, and started it
    if master.startswith("local") and not submitted:
        options |= _local_options(settings)
    if submitted or not master.startswith("local["):
        options |= shipping_options(settings)
    if settings.cleaning.s3_access == "s3a":
        options |= s3a.options(s3_endpoint(settings))
    options |= settings.cleaning.spark_options
    _choose_python(settings, is_local=master.startswith("local[") and not submitted)
    builder = SparkSession.builder.appName("yuqing-clean")
    for name, value in (options if submitted else {"spark.master": master, **options}).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def cancel_jobs() -> None:
    """End what runs on the process's Spark session, if there is one."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    # There is none; or no Java any more; or another thread stops it.
    with suppress(PySparkRuntimeError, Py4JError, OSError, AttributeError):
        SparkSession.active().sparkContext.cancelAllJobs()


def stop_session() -> None:
    """Stop the process's Spark session, if there is one; its Java stays until `end_session` or the process's end."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    with suppress(PySparkRuntimeError, Py4JError, OSError):  # there is none; or no Java any more
        SparkSession.active().stop()


def end_session(*, keep_classes: bool = True) -> None:
    """End the process's Spark session, if there is one.

    Where its Java is to write down its classes, wait until it has, or else (after a run that failed or was told to end) kill it.
    """
    from pyspark import SparkContext

    java = getattr(SparkContext._gateway, "proc", None)  # also of a session that did not come up
    unfinished = class_archive.written_by(java.pid) if java else None
    stop_session()
    if java is None or unfinished is None:
        return
    if not keep_classes:
        class_archive.drop(unfinished, java)
        return
    java.stdin.close()  # at which it ends
    class_archive.keep(unfinished, java)


def _local_options(settings: Settings) -> dict[str, str]:
    """What a driver needs that is its own cluster: a Java, no open ports."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    program = java_program()
    home = java_home(program, settings.cache)
    os.environ["JAVA_HOME"] = str(home)
    logging = Path(__file__).with_name("log4j2.json").as_uri()
    archive = class_archive.archive(program, home) if settings.cleaning.archive_classes else None
    classes = class_archive.java_options(archive) if archive else ""
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        # The serial collector and the quick compiler: a session lives for seconds, and the work is in Python.
        "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile={logging} {classes}",
    }


def _choose_python(settings: Settings, *, is_local: bool) -> None:
    """The interpreter of the Python workers, and this checkout for those that the driver starts."""
    chosen = settings.cleaning.executor_python or os.environ.get("PYSPARK_PYTHON")
    paths = planning_path() if settings.cleaning.executor_python else planning_path()[:1]
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in paths]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *others])
    if is_local and not chosen:
        os.environ["LOCAL_PYTHON"] = sys.executable
        chosen = str(local_python(settings.cache))
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", chosen)
    os.environ["PYSPARK_PYTHON"] = chosen or sys.executable
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)


def plan(
    spark: "SparkSession",
    settings: Settings,
    batches: Sequence[str],
    companies: list[WatchedCompany],
    destination: stage.Destination,
) -> Callable[[Sequence[str]], list[Receipt]]:
    """Plan the reading, cleaning and staging of the batches; what is returned does it for some of them, from any thread.

    That returns the receipts of the attempts that Spark committed. Planned is once a run, since each plan starts three Python
    processes. Raises S3aMissing.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    if settings.cleaning.s3_access == "s3a" and not any(map(is_replay, batches)):
        root = s3a.root_of(destination.store.endpoint)
        s3a.HadoopObjects(spark, root).check()
        return partial(s3a.run_plan, spark, settings, companies=companies, destination=destination, root=root)
    # One function for all steps: no page goes through the JVM to a second Python worker, which gets receipts alone.
    work = partial(stage.clean_batches, companies=companies, settings=settings.cleaning, destination=destination)
    name = f"raw_batches_{destination.run_id.lower()}"  # a session has one registry
    spark.dataSource.register(raw_batches(name, from_arrow_schema(stage.RECEIPT), batches, pickle.dumps(work)))
    receipts = spark.read.format(name).load().rdd
    place = {batch: number for number, batch in enumerate(batches)}

    def run(chosen: Sequence[str]) -> list[Receipt]:
        rows = spark.sparkContext.runJob(receipts, list, [place[batch] for batch in chosen])
        found = [Receipt(**row.asDict()) for row in rows]
        assert {receipt.batch for receipt in found} <= set(chosen), "partition number i must be batch number i"
        return found

    return run
