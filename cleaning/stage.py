"""On the executors: records to articles, then Parquet and quarantine to S3 and rows to the staging table.

The functions run inside Spark's Python workers, or in the driver itself, and get all that they need as arguments.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from cleaning.article import Unusable
from cleaning.batches import STAGE, batch_day, is_replay, parquet_key
from cleaning.s3source import read_batch
from yuqing import quarantine
from yuqing.arrow_schemas import ARTICLE
from yuqing.errors import ContractError
from yuqing.objects import ObjectStore, ObjectWriter
from yuqing.settings import CleaningSettings
from yuqing.watchlist import WatchedCompany

if TYPE_CHECKING:
    from yuqing.text.matcher import Matcher

# An article, or a record that could not become one with the problem; then what the tables need beyond the article.
CLEANED = pa.schema(
    [
        *(field.with_nullable(True) for field in ARTICLE),
        ("line", pa.int32()),
        ("problem", pa.string()),
        ("record", pa.binary()),
        ("minhash", pa.binary()),
        ("mentions", pa.string()),
    ]
)
RECEIPT = pa.schema(
    [
        ("batch", pa.string()),
        ("partition", pa.int32()),
        ("attempt", pa.int64()),
        ("cleaned", pa.int32()),
        ("quarantined", pa.int32()),
        ("masked", pa.int32()),
        ("error", pa.string()),
        ("left", pa.string()),
    ]
)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# fmt: off
_COLUMNS = (
    "run_id", "batch_key", "partition", "attempt", "line", "doc_id", "content_hash", "kind", "site", "url", "canonical_url",
    "title", "text", "published_at", "fetched_at", "author", "source", "language", "segments", "parent_url",
    "cleaning_version", "terms", "media", "images", "mentions", "minhash", "bands",
)
# fmt: on


@dataclass(frozen=True)
class Attempt:
    """Which try at which part of the run's work: the rows that it stages stand under it."""

    partition: int
    number: int


@dataclass(frozen=True)
class Destination:
    """Where an executor puts its results, and for which run; `writer` takes the objects where that is not the store itself."""

    store: ObjectStore
    database_url: str
    run_id: str
    writer: ObjectWriter | None = None

    @property
    def objects(self) -> ObjectWriter:
        """What takes Parquet and quarantine."""
        return self.writer or self.store


def clean_records(
    batches: Iterator[pa.RecordBatch],
    *,
    companies: list[WatchedCompany],
    settings: CleaningSettings,
    store: ObjectStore | None = None,
) -> Iterator[pa.RecordBatch]:
    """Lines of batches to articles with their signature and mentions; what is wrong with a line stays with that line.

    A batch's lines come one after another, and all of them in one call. With a store, batches of few pages also learn from
    the site's earlier ones.
    """
    from cleaning.article import Draft, draft, finish
    from cleaning.duplicates import signature, to_bytes
    from cleaning.repeated import Lines, site_lines
    from cleaning.site_memory import earlier_pages, remember
    from yuqing.contracts import read_raw_document

    matcher = _matcher(tuple(companies))

    def article(batch: str, drafted: Draft, lines_of_site: frozenset[str]) -> dict[str, Any]:
        cleaned = finish(drafted, batch, settings, lines_of_site)
        row = cleaned.model_dump()
        if not can_be_stored(row):
            raise Unusable("a field holds a NUL byte or a lone surrogate")
        return {
            **row,
            "minhash": to_bytes(signature(cleaned.text)),
            "mentions": json.dumps(mentions_of(matcher, cleaned.title, cleaned.text), ensure_ascii=False),
        }

    records = (record for batch in batches for record in batch.to_pylist())
    for key, lines in groupby(records, key=lambda record: str(record["batch"])):
        rows: list[dict[str, Any]] = []
        drafts: list[tuple[dict[str, Any], bytes, Draft]] = []
        # Twice over the batch: which lines are the site's is known when all its pages have been read.
        for line in lines:
            row: dict[str, Any] = {"batch": key, "line": line["line"]}
            rows.append(row)
            try:
                if line["problem"]:
                    raise Unusable(line["problem"])
                drafts.append((row, line["record"], draft(read_raw_document(line["record"]))))
            except Exception as error:  # noqa: BLE001 - one page must never stop a run
                row |= {"problem": _problem(error), "record": line["record"]}
        pages = [drafted.text for _, _, drafted in drafts if drafted.document.kind == "page"]
        earlier: list[Lines] = []
        if store and pages and settings.site_memory_pages:
            remember(store, key, pages)
            earlier = earlier_pages(store, key, settings.site_memory_pages - len(pages), settings)
        lines_of_site = site_lines(pages, settings, earlier)
        for row, record, drafted in drafts:
            try:
                row |= article(key, drafted, lines_of_site)
            except Exception as error:  # noqa: BLE001
                row |= {"problem": _problem(error), "record": record}
        yield pa.RecordBatch.from_pylist(rows, schema=CLEANED)


@lru_cache(maxsize=1)
def _matcher(companies: tuple[WatchedCompany, ...]) -> "Matcher":
    """Built once a worker and watchlist, not once a task."""
    from yuqing.text.matcher import Matcher

    return Matcher(companies)


def mentions_of(matcher: "Matcher", title: str, text: str) -> list[dict[str, Any]]:
    """What the table of mentions takes of a document: company_id, relevance and spans of each company in it."""
    from yuqing.text.matcher import relevance

    found = matcher.mentions(title, text)
    places: dict[int, list[dict[str, Any]]] = {}
    for mention in found:
        places.setdefault(mention.company_id, []).append(mention.model_dump(exclude={"company_id"}))
    return [
        {"company_id": item.company_id, "relevance": item.score, "spans": places[item.company_id]}
        for item in relevance(found)
    ]


def _problem(error: Exception) -> str:
    if isinstance(error, Unusable | ContractError):
        return error.message
    return f"cleaning failed: {type(error).__name__}: {error}"[:500]


def can_be_stored(value: Any) -> bool:
    """PostgreSQL takes no NUL characters and UTF-8 no lone surrogates."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, dict):
        return all(map(can_be_stored, value.values()))
    return all(map(can_be_stored, value)) if isinstance(value, list | tuple) else True


def stage(batches: Iterator[pa.RecordBatch], *, destination: Destination, attempt: Attempt) -> Iterator[pa.RecordBatch]:
    """Write each batch's Parquet, quarantine and staging rows; a receipt a batch, which counts only if its attempt does.

    The objects have the same names and contents in every attempt; the rows are keyed by the attempt. What a replay leaves over
    is told in its receipt: its quarantine object may change only after the merge.
    """
    tables: dict[str, list[pa.RecordBatch]] = {}
    for batch in batches:
        for key in dict.fromkeys(batch.column("batch").to_pylist()):
            tables.setdefault(key, []).append(batch.filter(pa.compute.equal(batch.column("batch"), key)))
    for key, parts in tables.items():
        table = pa.Table.from_batches(parts, schema=CLEANED)
        has_problem = pa.compute.is_valid(table.column("problem"))
        articles, problems = table.filter(pa.compute.invert(has_problem)), table.filter(has_problem)
        rows = articles.to_pylist()
        copy_rows(rows, destination, key, attempt.partition, attempt.number)
        rejected = problems.select(["line", "problem", "record"]).to_pylist()
        if rows or not is_replay(key):
            data = io.BytesIO()
            pq.write_table(articles.select(ARTICLE.names).cast(ARTICLE), data, compression="zstd")
            destination.objects.put(parquet_key(key), data.getvalue(), content_type="application/vnd.apache.parquet")
        if rejected and not is_replay(key):
            quarantine.write(destination.objects, STAGE, key, [_kept(key, row) for row in rejected], day=batch_day(key))
        receipt = {
            "batch": key,
            "partition": attempt.partition,
            "attempt": attempt.number,
            "cleaned": len(rows),
            "quarantined": len(rejected),
            "masked": sum(row["masked"] for row in rows),
            "error": next((row["problem"] for row in rejected if row["line"] == 0), None),
            "left": _left(rejected) if is_replay(key) else None,
        }
        yield pa.RecordBatch.from_pylist([receipt], schema=RECEIPT)


def clean_and_stage(
    batches: Iterator[pa.RecordBatch],
    *,
    companies: list[WatchedCompany],
    settings: CleaningSettings,
    destination: Destination,
    attempt: Attempt | None = None,
) -> Iterator[pa.RecordBatch]:
    """The whole work on some batches: records in, receipts out. Without an attempt it is that of Spark's task."""
    if attempt is None:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        attempt = Attempt(context.partitionId(), context.taskAttemptId())
    cleaned = clean_records(batches, companies=companies, settings=settings, store=destination.store)
    return stage(cleaned, destination=destination, attempt=attempt)


def clean_batches(
    batches: Sequence[str],
    *,
    companies: list[WatchedCompany],
    settings: CleaningSettings,
    destination: Destination,
    attempt: Attempt | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read the batches, then clean_and_stage. Raises ObjectStoreAway."""
    records = chain.from_iterable(
        read_batch(destination.store, batch, settings.maximum_record_bytes, settings.rows_a_transfer)
        for batch in batches
    )
    return clean_and_stage(records, companies=companies, settings=settings, destination=destination, attempt=attempt)


def _kept(batch: str, row: dict[str, Any]) -> dict[str, Any]:
    record = (row["record"] or b"").decode("utf-8", "backslashreplace")
    return {"reason": row["problem"], "batch": batch, "line": row["line"], "record": record}


def _left(rejected: list[dict[str, Any]]) -> str:
    # The list comes to stand in the ledger, where no reason may hold what PostgreSQL refuses.
    return json.dumps(
        [[row["line"], _UNSTORABLE.sub("\ufffd", row["problem"])] for row in rejected], ensure_ascii=False
    )


def _array(items: Sequence[str | int]) -> str:
    """PostgreSQL's literal of an array of words or numbers; nothing in these needs escaping, which takes psycopg a millisecond."""
    return "{" + ",".join(f'"{item}"' for item in items) + "}"


def copy_rows(rows: list[dict[str, Any]], destination: Destination, batch: str, partition: int, attempt: int) -> None:
    """COPY a batch's articles into the staging table under this attempt's key."""
    import psycopg

    from cleaning.duplicates import bands, from_bytes
    from yuqing.text.bigrams import bigrams

    if not rows:
        return
    statement = f"COPY staged_articles ({', '.join(_COLUMNS)}) FROM STDIN"
    with psycopg.connect(destination.database_url) as connection, connection.cursor().copy(statement) as copy:
        for row in rows:
            staged = {
                **row,
                "run_id": destination.run_id,
                "batch_key": batch,
                "partition": partition,
                "attempt": attempt,
                "segments": json.dumps(row["segments"] or []),
                "media": json.dumps(row["media"] or [], ensure_ascii=False),
                "images": json.dumps(row["images"] or [], ensure_ascii=False),
                "terms": _array(bigrams(f"{row['title']}\n{row['text']}")),
                "bands": _array(bands(from_bytes(row["minhash"]))),
            }
            copy.write_row([staged[column] for column in _COLUMNS])
