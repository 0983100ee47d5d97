"""Raw batches and replayed quarantine objects from S3, line by line; and Spark's Python data source, one partition a batch."""

import gc
import gzip
import io
import json
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cleaning.batches import is_replay, quarantine_key, replay_name
from yuqing import quarantine
from yuqing.objects import ObjectMissing, ObjectStore

if TYPE_CHECKING:
    from pyspark.sql.datasource import DataSource
    from pyspark.sql.types import StructType

# A line of a batch, numbered from 1, as its bytes; or a problem instead. Line 0 is the batch itself.
ARROW_SCHEMA = pa.schema(
    [("batch", pa.string()), ("line", pa.int32()), ("record", pa.binary()), ("problem", pa.string())]
)
_TRANSFER_BYTES = 4 * 2**20  # an Arrow batch is ended when it has this many bytes or `rows` rows
_KEPT_OF_LONG_BYTES = 1024

_BROKEN = (EOFError, OSError, zlib.error)


def read_batch(store: ObjectStore, batch: str, limit: int, rows: int) -> Iterator[pa.RecordBatch]:
    """A batch's lines in Arrow batches of ARROW_SCHEMA, at most `rows` lines each.

    Never fails for what is wrong with the batch. Raises ObjectStoreAway.
    """
    lines = read_replay(store, batch, limit) if is_replay(batch) else read_lines(store, batch, limit)
    return in_batches(batch, lines, rows)


def in_batches(
    batch: str, lines: Iterable[tuple[int, bytes | None, str | None]], rows: int
) -> Iterator[pa.RecordBatch]:
    """A batch's lines (number, record, problem) in Arrow batches of ARROW_SCHEMA, at most `rows` lines each."""
    waiting: list[dict[str, object]] = []
    size = 0
    for line, record, problem in lines:
        waiting.append({"batch": batch, "line": line, "record": record, "problem": problem})
        size += len(record or b"")
        if len(waiting) >= rows or size >= _TRANSFER_BYTES:
            yield pa.RecordBatch.from_pylist(waiting, schema=ARROW_SCHEMA)
            waiting, size = [], 0
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=ARROW_SCHEMA)


def read_lines(store: ObjectStore, batch: str, limit: int) -> Iterator[tuple[int, bytes | None, str | None]]:
    """(line number, record, problem) of a raw batch; line 0 with a problem when the batch is missing or breaks off.

    Records longer than `limit` bytes are cut and have a problem too. Raises ObjectStoreAway.
    """
    try:
        packed = store.get(batch)
    except ObjectMissing as error:
        yield 0, None, f"the batch is gone: {error.message}"
        return
    yield from lines_of(packed, limit)


def gone(batch: str) -> pa.RecordBatch:
    """What is read of a batch that is no longer there."""
    return next(in_batches(batch, [(0, None, f"the batch is gone: {batch} does not exist")], 1))


def lines_of(packed: bytes, limit: int) -> Iterator[tuple[int, bytes | None, str | None]]:
    """(line number, record, problem) of a raw batch's bytes; see read_lines."""
    number = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as lines:
            while record := lines.readline(limit + 1):
                number += 1
                problem = None
                if len(record) > limit and not record.endswith(b"\n"):
                    problem = f"the record is longer than {limit} bytes"
                    while (rest := lines.readline(limit)) and not rest.endswith(b"\n"):
                        pass
                    record = record[:_KEPT_OF_LONG_BYTES]
                if record.strip():
                    yield number, record.rstrip(b"\r\n"), problem
    except _BROKEN as error:
        yield 0, None, f"the batch breaks off after line {number}: {error}"


def read_replay(store: ObjectStore, replay: str, limit: int) -> Iterator[tuple[int, bytes | None, str | None]]:
    """(place, record, problem) of a quarantine object; line 0 when it is not, or no longer, what the replay's name says.

    A record comes from its raw batch while that exists, and else as quarantine kept it (where an overlong one was cut, and
    bytes that are no UTF-8 were written out). What is wrong with a batch as a whole keeps its reason. Raises ObjectStoreAway.
    """
    key = quarantine_key(replay)
    try:
        packed = store.get(key)
        if replay_name(key, packed) != replay:
            raise ValueError("another replay was faster")
        records = quarantine.unpack(packed)
        places = [(str(record.get("batch")), int(record.get("line") or 0)) for record in records]
    except (ObjectMissing, ValueError, AttributeError, TypeError, *_BROKEN) as error:
        yield 0, None, f"{key} cannot be replayed: {error}"
        return
    originals = {
        (batch, line): (record, problem)
        for batch in sorted({batch for batch, line in places if line})
        for line, record, problem in read_lines(store, batch, limit)
        if line and (batch, line) in places
    }
    for number, (place, record) in enumerate(zip(places, records, strict=True), 1):
        yield number, *(originals.get(place) or _as_kept(record))


def _as_kept(record: dict[str, Any]) -> tuple[bytes | None, str | None]:
    """A quarantined record without its batch: the raw document, or the reason for which there is none."""
    kept = record.get("record")
    # The crawler also keeps pages that never became a raw document, such as those that are no text.
    if isinstance(kept, dict) and "body" in kept:
        return json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass"), None
    if isinstance(kept, str) and kept:
        return kept.encode("utf-8", "surrogatepass"), None
    return None, str(record.get("reason") or "the quarantine kept no record")


def do_packed(work: bytes, batch: str) -> Iterator[Any]:
    """On a worker: call the function that is pickled in `work` with one batch's key, and yield what it yields."""
    yield from _unpacked(work)([batch])
    _leave_imports_to_themselves()


@lru_cache(maxsize=1)
def _unpacked(work: bytes) -> Callable[[Sequence[str]], Iterator[Any]]:
    """Once a worker, with its store's connections and its watchlist, not once a task."""
    gc.set_threshold(10_000)  # as the commands do (yuqing/cli.py)
    found: Callable[[Sequence[str]], Iterator[Any]] = pickle.loads(work)  # noqa: S301 - the driver's own
    return found


@lru_cache(maxsize=1)
def _leave_imports_to_themselves() -> None:
    """Once a worker, after its first task: Spark collects garbage after each one, and looks at all modules for .1 s each time."""
    gc.collect()
    gc.freeze()


def raw_batches(source_name: str, columns: "StructType", batches: Sequence[str], work: bytes) -> "type[DataSource]":
    """A data source for these batches under this name, for spark.dataSource.register; partition number i is batch number i.

    work: a pickled function from batches' keys to record batches of these columns. It stays packed until a task reads, since Spark
    takes this class apart in three processes while it plans, none of which needs what the work imports. It carries the store
    and its keys: as options they would show in plans and logs.
    """
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
    from pyspark.sql.types import StructType

    class Reader(DataSourceReader):  # type: ignore[misc]
        def partitions(self) -> Sequence[InputPartition]:
            return [InputPartition(batch) for batch in batches]

        def read(self, partition: InputPartition) -> Iterator[Any]:
            from cleaning.s3source import do_packed

            return do_packed(work, partition.value)

    class RawBatches(DataSource):  # type: ignore[misc]
        @classmethod
        def name(cls) -> str:
            return source_name

        def schema(self) -> StructType:
            return columns

        def reader(self, schema: object) -> DataSourceReader:
            return Reader()

    return RawBatches
