"""S3 through Hadoop's own client (`s3a://`) in place of boto3, where the cluster's image has its jars.

The executors' JVM reads the batches, the driver's writes what they made: Spark has no way from a Python worker into Hadoop's
file systems but through files named by Spark. Names and bytes are those of the other way. The code knows nothing of S3: the
tests run it over a folder. The driver still lists batches, and reads what is replayed or what it cleans while Spark starts,
with boto3.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cleaning import stage
from cleaning.publish import Receipt
from cleaning.s3source import gone, in_batches, lines_of
from yuqing.endpoints import S3Endpoint
from yuqing.errors import YuqingError
from yuqing.settings import CleaningSettings, Settings
from yuqing.watchlist import WatchedCompany

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BATCH = re.compile(r"raw/[^/]+/\d{4}/\d\d/\d\d/[^/]+$")
_OBJECT = pa.struct([("key", pa.string()), ("data", pa.binary())])
_RECEIPT = pa.schema([*stage.RECEIPT, pa.field("objects", pa.list_(_OBJECT))])


class S3aMissing(YuqingError):
    """Spark's Java has no client for s3a://."""


def root_of(endpoint: S3Endpoint) -> str:
    """The address under which all keys stand."""
    return f"s3a://{endpoint.bucket}/{endpoint.prefix.strip('/')}".rstrip("/")


def options(endpoint: S3Endpoint) -> dict[str, str]:
    """Spark's properties that give Hadoop's client the settings of S3."""
    found = {
        "fs.s3a.endpoint.region": endpoint.region,
        "fs.s3a.attempts.maximum": str(endpoint.attempts),
        "fs.s3a.multipart.size": str(endpoint.multipart_bytes),
    }
    if endpoint.access_key:
        found |= {"fs.s3a.access.key": endpoint.access_key, "fs.s3a.secret.key": endpoint.secret_key}
    if endpoint.endpoint:
        found |= {
            "fs.s3a.endpoint": endpoint.endpoint,
            "fs.s3a.path.style.access": "true",
            "fs.s3a.connection.ssl.enabled": str(endpoint.endpoint.startswith("https:")).lower(),
        }
    return {f"spark.hadoop.{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class HadoopObjects:
    """Objects under a root that one of Hadoop's file systems serves. Only on the driver."""

    spark: "SparkSession"
    root: str

    def _path(self, key: str) -> Any:
        return self.spark._jvm.org.apache.hadoop.fs.Path(f"{self.root}/{key}")

    def _system(self) -> Any:
        return self._path("").getFileSystem(self.spark._jsc.hadoopConfiguration())

    def check(self) -> None:
        """Raises S3aMissing where Java has no client for the root's scheme."""
        from py4j.protocol import Py4JJavaError

        try:
            self._system()
        except Py4JJavaError as error:
            if "ClassNotFoundException" not in str(error) and "UnsupportedFileSystemException" not in str(error):
                raise
            version = self.spark._jvm.org.apache.hadoop.util.VersionInfo.getVersion()
            raise S3aMissing(
                f"Spark cannot open {self.root}: its Java has no class for {self.root.partition(':')[0]}",
                cure=f"run it in an image with hadoop-aws {version} and its AWS SDK (or name them in "
                f'YUQING_CLEANING__SPARK_OPTIONS: {{"spark.jars.packages": "org.apache.hadoop:hadoop-aws:{version}"}}), '
                "or set YUQING_CLEANING__S3_ACCESS=boto3",
            ) from None

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return bool(self._system().exists(self._path(key)))

    def put(self, key: str, data: bytes) -> None:
        """Store bytes under the key, over what was there; on S3 they are visible once all are there."""
        target = self._system().create(self._path(key), True)
        try:
            target.write(bytearray(data))
        finally:
            target.close()


@dataclass
class Outbox:
    """Keeps on the executor what is to be stored; the receipts carry it to the driver."""

    objects: list[dict[str, Any]] = field(default_factory=list)

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> bool:
        """Keep an object."""
        self.objects.append({"key": key, "data": data})
        return True

    def take(self) -> list[dict[str, Any]]:
        """What was kept since the last time."""
        kept, self.objects = self.objects, []
        return kept


def run_plan(
    spark: "SparkSession",
    settings: Settings,
    batches: Sequence[str],
    companies: list[WatchedCompany],
    destination: stage.Destination,
    root: str,
) -> list[Receipt]:
    """Read, clean and stage the batches under the root, and store their objects; returns the receipts that Spark committed."""
    from pyspark.sql.pandas.types import from_arrow_schema

    objects = HadoopObjects(spark, root)
    there = [batch for batch in batches if objects.exists(batch)]
    work = partial(clean_and_collect, companies=companies, settings=settings.cleaning, destination=destination)
    rows: list[dict[str, Any]] = []
    if there:
        files = spark.read.format("binaryFile").load([f"{root}/{batch}" for batch in there]).select("path", "content")
        rows += (row.asDict(recursive=True) for row in files.mapInArrow(work, from_arrow_schema(_RECEIPT)).collect())
    for number, batch in enumerate(sorted(set(batches) - set(there))):
        attempt = stage.Attempt(-1, number)
        rows += (row for part in work(iter([gone(batch)]), attempt=attempt) for row in part.to_pylist())
    receipts = []
    for row in rows:
        for item in row.pop("objects") or []:
            objects.put(item["key"], bytes(item["data"]))
        receipts.append(Receipt(**row))
    return receipts


def clean_and_collect(
    files: Iterator[pa.RecordBatch],
    *,
    companies: list[WatchedCompany],
    settings: CleaningSettings,
    destination: stage.Destination,
    attempt: stage.Attempt | None = None,
) -> Iterator[pa.RecordBatch]:
    """The work on some batches as files (path, content), or as lines: receipts, each with the objects that belong to it."""
    outbox = Outbox()
    lines = chain.from_iterable(_lines(part, settings) for part in files)
    receipts = stage.clean_and_stage(
        lines,
        companies=companies,
        settings=settings,
        destination=replace(destination, writer=outbox),
        attempt=attempt,
    )
    for receipt in receipts:  # one batch's each
        kept = pa.array([outbox.take()], type=pa.list_(_OBJECT))
        yield pa.RecordBatch.from_arrays([*receipt.columns, kept], schema=_RECEIPT)


def _lines(part: pa.RecordBatch, settings: CleaningSettings) -> Iterator[pa.RecordBatch]:
    if "path" not in part.schema.names:
        yield part
        return
    for row in part.to_pylist():
        name = _BATCH.search(row["path"])
        assert name is not None
        records = lines_of(row["content"], settings.maximum_record_bytes)
        yield from in_batches(name[0], records, settings.rows_a_transfer)
