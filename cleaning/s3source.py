"""Raw batches from S3 as a Spark data source: one partition a batch, read on the executors, in Arrow batches."""

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from yuqing.objects import ObjectMissing, ObjectStore

# A line of a batch, numbered from 1, as its bytes; or a problem instead. Line 0 is the batch itself.
SCHEMA = "batch string, line int, record binary, problem string"
ARROW_SCHEMA = pa.schema(
    [("batch", pa.string()), ("line", pa.int32()), ("record", pa.binary()), ("problem", pa.string())]
)
_TRANSFER_BYTES = 4 * 2**20  # an Arrow batch is sent when it has this many bytes or `rows` rows


class RawBatchReader(DataSourceReader):  # type: ignore[misc]
    """Reads the batches' lines; never fails for what is wrong with a batch, only when S3 is away."""

    def __init__(self, store: ObjectStore, batches: Sequence[str], limit: int, rows: int) -> None:
        self._store, self._batches, self._limit, self._rows = store, list(batches), limit, rows

    def partitions(self) -> Sequence[InputPartition]:
        return [InputPartition(batch) for batch in self._batches]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        waiting: list[dict[str, object]] = []
        size = 0
        for line, record, problem in read_lines(self._store, partition.value, self._limit):
            waiting.append({"batch": partition.value, "line": line, "record": record, "problem": problem})
            size += len(record or b"")
            if len(waiting) >= self._rows or size >= _TRANSFER_BYTES:
                yield pa.RecordBatch.from_pylist(waiting, schema=ARROW_SCHEMA)
                waiting, size = [], 0
        if waiting:
            yield pa.RecordBatch.from_pylist(waiting, schema=ARROW_SCHEMA)


def read_lines(store: ObjectStore, batch: str, limit: int) -> Iterator[tuple[int, bytes | None, str | None]]:
    """(line number, record, problem) of a batch; line 0 with a problem when the batch is missing or breaks off.

    Records longer than `limit` bytes are cut and have a problem too. Raises ObjectStoreAway.
    """
    try:
        packed = store.get(batch)
    except ObjectMissing as error:
        yield 0, None, f"the batch is gone: {error.message}"
        return
    number = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as lines:
            while record := lines.readline(limit + 1):
                number += 1
                problem = None
                if len(record) > limit:
                    problem = f"the record is longer than {limit} bytes"
                    while rest := lines.readline(limit):
                        if rest.endswith(b"\n"):
                            break
                    record = record[:1024]
                if record.strip():
                    yield number, record.rstrip(b"\r\n"), problem
    except (EOFError, OSError, zlib.error) as error:
        yield 0, None, f"the batch breaks off after line {number}: {error}"


def raw_batches(store: ObjectStore, batches: Sequence[str], limit: int, rows: int) -> type[DataSource]:
    """A data source for these batches, for spark.dataSource.register.

    Store and keys travel inside the class: as options they would show in plans and logs.
    """

    class RawBatches(DataSource):  # type: ignore[misc]
        @classmethod
        def name(cls) -> str:
            return "raw_batches"

        def schema(self) -> str:
            return SCHEMA

        def reader(self, schema: StructType) -> DataSourceReader:
            return RawBatchReader(store, batches, limit, rows)

    return RawBatches
