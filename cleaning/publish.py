"""On the driver: what Spark committed becomes visible, in one transaction with the ledger and the jobs that follow."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from cleaning import reprints
from cleaning.batches import STAGE
from cleaning.stage import mentions_of
from yuqing import ledger, watchlist
from yuqing.errors import YuqingError
from yuqing.jobs import ANALYZE, TRANSCRIBE, Job, defer_in_transaction
from yuqing.settings import CleaningSettings
from yuqing.text.matcher import Matcher


class StagingLost(YuqingError):
    """Rows that executors staged are no longer there: the database was restarted in between."""


@dataclass(frozen=True)
class Receipt:
    """What one committed attempt at a batch staged.

    error: what is wrong with the batch as a whole; left: what a replay could not use, JSON of [place, reason] each.
    """

    batch: str
    partition: int = -1
    attempt: int = -1
    cleaned: int = 0
    quarantined: int = 0
    masked: int = 0
    error: str | None = None
    left: str | None = None


@dataclass
class Counts:
    """What a batch brought. cleaned = new + changed + unchanged + superseded observations of documents."""

    cleaned: int = 0
    quarantined: int = 0
    masked: int = 0
    new: int = 0
    changed: int = 0
    duplicates: int = 0
    mentions: int = 0


# Thousands of rows a statement need room to be sorted, and compiling it takes longer than running it. New terms wait in a list
# until it is full, and then go through most pages of the index of the texts: every 6,000 documents, by default (4 MB) every 400.
_BULK = ("jit = off", "work_mem = '128MB'", "gin_pending_list_limit = '64MB'")

# One statement a step, in order; `arrived` holds the committed attempts' rows, `newest` a document's latest of them,
# `changed` the documents whose current version is replaced or that are new. A page fetched again without a change only
# moves fetched_at and brings its images, whose addresses move with a site's servers.
_ARRIVED = """
CREATE TEMP TABLE arrived ON COMMIT DROP AS
SELECT staged.* FROM staged_articles staged
JOIN unnest(CAST(:batches AS text[]), CAST(:partitions AS int[]), CAST(:attempts AS bigint[]))
    AS receipt (batch_key, partition, attempt)
USING (batch_key, partition, attempt)
WHERE run_id = :run_id
"""
_NEWEST = """
CREATE TEMP TABLE newest ON COMMIT DROP AS
SELECT DISTINCT ON (doc_id) *, min(fetched_at) OVER (PARTITION BY doc_id) AS first_seen FROM arrived
ORDER BY doc_id, fetched_at DESC, content_hash DESC, batch_key DESC, line DESC
"""
_CHANGED = """
CREATE TEMP TABLE changed ON COMMIT DROP AS
SELECT newest.doc_id, newest.batch_key, newest.content_hash, documents.doc_id IS NULL AS is_new
FROM newest LEFT JOIN documents USING (doc_id)
WHERE documents.doc_id IS NULL OR (newest.content_hash <> documents.content_hash
    AND (newest.fetched_at, newest.content_hash) > (documents.fetched_at, documents.content_hash))
"""
_KEEP_REPLACED = """
INSERT INTO document_versions AS kept (doc_id, content_hash, version, title, text, fetched_at, batch_key)
SELECT doc_id, documents.content_hash, version, title, text, fetched_at, documents.batch_key
FROM documents JOIN changed USING (doc_id)
ON CONFLICT (doc_id, content_hash) DO UPDATE SET fetched_at = GREATEST(kept.fetched_at, EXCLUDED.fetched_at)
"""
_DOCUMENTS = """
INSERT INTO documents (doc_id, content_hash, kind, site, url, canonical_url, title, text, published_at, first_seen,
    fetched_at, author, source, language, images, segments, parent_url, group_id, batch_key, cleaning_version, search)
SELECT doc_id, newest.content_hash, kind, site, url, canonical_url, title, text, published_at, first_seen,
    fetched_at, author, source, language, images, segments, parent_url, COALESCE(root, doc_id), newest.batch_key, cleaning_version,
    array_to_tsvector(terms)
FROM newest JOIN changed USING (doc_id) LEFT JOIN regrouped USING (doc_id)
ON CONFLICT (doc_id) DO UPDATE SET
    content_hash = EXCLUDED.content_hash, kind = EXCLUDED.kind, site = EXCLUDED.site, url = EXCLUDED.url,
    title = EXCLUDED.title, text = EXCLUDED.text, published_at = EXCLUDED.published_at, fetched_at = EXCLUDED.fetched_at,
    author = EXCLUDED.author, source = EXCLUDED.source, language = EXCLUDED.language, images = EXCLUDED.images,
    segments = EXCLUDED.segments,
    parent_url = EXCLUDED.parent_url, batch_key = EXCLUDED.batch_key, cleaning_version = EXCLUDED.cleaning_version,
    search = EXCLUDED.search
"""
_SEEN = """
UPDATE documents SET
    first_seen = LEAST(documents.first_seen, newest.first_seen),
    fetched_at = CASE WHEN documents.content_hash = newest.content_hash
        THEN GREATEST(documents.fetched_at, newest.fetched_at) ELSE documents.fetched_at END,
    images = CASE WHEN documents.content_hash = newest.content_hash AND newest.fetched_at > documents.fetched_at
        THEN newest.images ELSE documents.images END
FROM newest WHERE documents.doc_id = newest.doc_id AND (newest.first_seen < documents.first_seen
    OR (documents.content_hash = newest.content_hash AND newest.fetched_at > documents.fetched_at))
"""
_KEEP_EARLIER = """
INSERT INTO document_versions AS kept (doc_id, content_hash, version, title, text, fetched_at, batch_key)
SELECT DISTINCT ON (arrived.doc_id, arrived.content_hash)
    arrived.doc_id, arrived.content_hash, 0, arrived.title, arrived.text, arrived.fetched_at, arrived.batch_key
FROM arrived JOIN documents ON documents.doc_id = arrived.doc_id AND documents.content_hash <> arrived.content_hash
ORDER BY arrived.doc_id, arrived.content_hash, arrived.fetched_at DESC, arrived.batch_key DESC
ON CONFLICT (doc_id, content_hash) DO UPDATE SET fetched_at = GREATEST(kept.fetched_at, EXCLUDED.fetched_at)
"""
_FORGET_CURRENT = """
DELETE FROM document_versions USING documents, newest
WHERE documents.doc_id = newest.doc_id AND document_versions.doc_id = documents.doc_id
    AND document_versions.content_hash = documents.content_hash
"""
_NUMBER_EARLIER = """
UPDATE document_versions SET version = numbered.place FROM (
    SELECT doc_id, content_hash, row_number() OVER (PARTITION BY doc_id ORDER BY fetched_at, content_hash) AS place
    FROM document_versions WHERE doc_id IN (SELECT doc_id FROM newest)
) numbered
WHERE document_versions.doc_id = numbered.doc_id AND document_versions.content_hash = numbered.content_hash
"""
_NUMBER_CURRENT = """
UPDATE documents SET version = 1 + earlier.versions FROM (
    SELECT newest.doc_id, count(document_versions.doc_id) AS versions
    FROM newest LEFT JOIN document_versions USING (doc_id) GROUP BY newest.doc_id
) earlier
WHERE documents.doc_id = earlier.doc_id AND version <> 1 + earlier.versions
"""
_FORGET_MENTIONS = "DELETE FROM mentions USING changed WHERE mentions.doc_id = changed.doc_id"
_MENTIONS = """
INSERT INTO mentions (doc_id, company_id, content_hash, spans, relevance)
SELECT newest.doc_id, found.company_id, newest.content_hash, found.spans, found.relevance
FROM newest JOIN changed USING (doc_id)
CROSS JOIN jsonb_to_recordset(newest.mentions) AS found (company_id int, spans jsonb, relevance float)
JOIN companies ON companies.id = found.company_id
"""
# The earliest version of a document places it among reprints.
_SIGNATURES = """
INSERT INTO signatures (doc_id, content_hash, first_seen, minhash, bands)
SELECT DISTINCT ON (doc_id) doc_id, content_hash, fetched_at, minhash, bands FROM arrived
ORDER BY doc_id, fetched_at, content_hash
ON CONFLICT (doc_id) DO UPDATE SET content_hash = EXCLUDED.content_hash, first_seen = EXCLUDED.first_seen,
    minhash = EXCLUDED.minhash, bands = EXCLUDED.bands, parent_id = NULL, similarity = NULL
WHERE (EXCLUDED.first_seen, EXCLUDED.content_hash) < (signatures.first_seen, signatures.content_hash)
RETURNING doc_id
"""
# Recordings only: pictures have no speech.
_CARRIED = """
CREATE TEMP TABLE carried ON COMMIT DROP AS
SELECT DISTINCT ON (doc_id, item.sha256) doc_id, item.*
FROM arrived CROSS JOIN jsonb_to_recordset(media)
    AS item (url text, sha256 text, s3_key text, content_type text, bytes bigint)
WHERE item.sha256 IS NOT NULL AND item.s3_key IS NOT NULL AND item.content_type ~ '^(audio|video)/'
ORDER BY doc_id, item.sha256, item.url
"""
_MEDIA = """
INSERT INTO media (sha256, s3_key, content_type, bytes)
SELECT DISTINCT ON (sha256) sha256, s3_key, content_type, COALESCE(bytes, 0) FROM carried
ORDER BY sha256, s3_key, content_type
ON CONFLICT (sha256) DO NOTHING
"""
# Returns the recordings that pages carry since now, also those that came a run after their page, and those that another
# page has brought before: each page gets a transcript of its own. The transcripts' own documents carry them, too.
_DOCUMENT_MEDIA = """
WITH added AS (
    INSERT INTO document_media (doc_id, sha256, url) SELECT doc_id, sha256, url FROM carried
    ON CONFLICT (doc_id, sha256) DO NOTHING
    RETURNING doc_id, sha256
)
SELECT DISTINCT sha256 FROM added JOIN documents USING (doc_id) WHERE kind <> 'transcript'
"""
_TO_ANALYZE = """
SELECT doc_id, changed.content_hash, bool_or(mentions.spans @> '[{"field": "title"}]') AS in_title
FROM changed JOIN mentions USING (doc_id) GROUP BY doc_id, changed.content_hash ORDER BY doc_id
"""
_COUNTS = """
SELECT changed.batch_key,
    count(*) FILTER (WHERE is_new) AS new,
    count(*) FILTER (WHERE NOT is_new) AS changed,
    count(*) FILTER (WHERE is_new AND signatures.parent_id IS NOT NULL) AS duplicates,
    COALESCE(sum((SELECT count(*) FROM mentions WHERE mentions.doc_id = changed.doc_id)), 0) AS mentions
FROM changed JOIN signatures USING (doc_id) GROUP BY changed.batch_key
"""


def merge(
    connection: Connection,
    run_id: str,
    receipts: Sequence[Receipt],
    started: datetime,
    settings: CleaningSettings,
    matched: Sequence[watchlist.WatchedCompany] | None = None,
) -> dict[str, Counts]:
    """Make the receipts' documents visible and settle their batches; returns the counts by batch.

    Runs in the caller's transaction. Batches that another driver has settled meanwhile are left out. `matched`: the
    watchlist that the executors had; where it has changed since, the documents are matched again (None: it has not).
    Raises StagingLost.
    """
    reprints.lock(connection)  # also keeps two drivers from merging at once
    for option in _BULK:
        connection.execute(text(f"SET LOCAL {option}"))
    settled = connection.execute(
        text("SELECT batch_key FROM ledger WHERE stage = :stage AND batch_key = ANY(:batches)"),
        {"stage": STAGE, "batches": [receipt.batch for receipt in receipts]},
    ).scalars()
    done = set(settled)
    receipts = [receipt for receipt in receipts if receipt.batch not in done]
    _take(connection, run_id, receipts)
    for statement in (_NEWEST, _CHANGED):
        connection.execute(text(statement))
    # Groups first: a row of documents that moved to its group later would be written to the index of the texts twice.
    placed = list(connection.execute(text(_SIGNATURES)).scalars())
    reprints.assign(connection, placed, settings)
    for statement in (_KEEP_REPLACED, _DOCUMENTS, _SEEN, _KEEP_EARLIER, _FORGET_CURRENT):
        connection.execute(text(statement))
    for statement in (_NUMBER_EARLIER, _NUMBER_CURRENT):
        connection.execute(text(statement))
    connection.execute(text(_CARRIED))
    connection.execute(text(_MEDIA))
    recordings = list(connection.execute(text(_DOCUMENT_MEDIA)).scalars())
    _mention(connection, matched)
    _follow_up(connection, recordings)
    counts = _settle(connection, receipts, started)
    # Not all of the run: it may have staged the batches of its next rounds.
    forget_staged(connection, [*counts, *done])
    return counts


def forget_staged(connection: Connection, batches: Sequence[str]) -> None:
    """Remove what was staged for batches that are settled, by whatever run or attempt."""
    connection.execute(text("DELETE FROM staged_articles WHERE batch_key = ANY(:batches)"), {"batches": list(batches)})


def index_texts(connection: Connection) -> None:
    """After the last merge of a run: put the terms that wait into the index, since each search reads the list of these."""
    connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
    connection.execute(text("SELECT gin_clean_pending_list('documents_search')"))


def _take(connection: Connection, run_id: str, receipts: Sequence[Receipt]) -> None:
    """Collect the committed attempts' rows, all of them or none."""
    connection.execute(
        text(_ARRIVED),
        {
            "run_id": run_id,
            "batches": [receipt.batch for receipt in receipts],
            "partitions": [receipt.partition for receipt in receipts],
            "attempts": [receipt.attempt for receipt in receipts],
        },
    )
    expected = sum(receipt.cleaned for receipt in receipts)
    found = connection.execute(text("SELECT count(*) FROM arrived")).scalar_one()
    if found != expected:
        raise StagingLost(
            f"{expected} documents were staged and {found} are there: the database was restarted meanwhile",
            cure="run `yuqing clean` again; nothing was lost",
        )


def _mention(connection: Connection, matched: Sequence[watchlist.WatchedCompany] | None) -> None:
    """Write the mentions, of the companies that are watched now.

    Until this transaction ends nobody adds or edits a company: who did so before is seen here, and who does so after
    finds the documents. (The lock comes late: it makes the editors wait.)
    """
    connection.execute(text("LOCK TABLE companies IN SHARE MODE"))
    companies = watchlist.from_database(connection)
    if matched is not None and companies != list(matched):
        matcher = Matcher(companies)
        documents = connection.execute(text("SELECT doc_id, title, text FROM newest JOIN changed USING (doc_id)"))
        again = [
            {
                "doc_id": row.doc_id,
                "mentions": json.dumps(mentions_of(matcher, row.title, row.text), ensure_ascii=False),
            }
            for row in documents
        ]
        if again:
            statement = "UPDATE newest SET mentions = CAST(:mentions AS jsonb) WHERE doc_id = :doc_id"
            connection.execute(text(statement), again)
    connection.execute(text(_FORGET_MENTIONS))
    connection.execute(text(_MENTIONS))


def _follow_up(connection: Connection, recordings: list[str]) -> None:
    jobs = [Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": key}, f"{TRANSCRIBE}:{key}") for key in sorted(recordings)]
    for row in connection.execute(text(_TO_ANALYZE)):
        arguments = {"doc_id": row.doc_id, "content_hash": row.content_hash}
        lock = f"{ANALYZE}:{row.doc_id}:{row.content_hash}"
        # A document with a watched company in its title is analysed before the others.
        jobs.append(Job(ANALYZE, ANALYZE, arguments, lock, priority=int(row.in_title)))
    defer_in_transaction(connection, jobs)


def _settle(connection: Connection, receipts: Sequence[Receipt], started: datetime) -> dict[str, Counts]:
    counts = {receipt.batch: Counts(receipt.cleaned, receipt.quarantined, receipt.masked) for receipt in receipts}
    for row in connection.execute(text(_COUNTS)):
        batch = counts[row.batch_key]
        batch.new, batch.changed, batch.duplicates, batch.mentions = (
            row.new,
            row.changed,
            row.duplicates,
            int(row.mentions),
        )
    for receipt in receipts:
        found = {**vars(counts[receipt.batch]), **({"left": json.loads(receipt.left)} if receipt.left else {})}
        state: Literal["done", "failed"] = "failed" if receipt.error else "done"
        ledger.record(connection, STAGE, receipt.batch, state, found, started, error=receipt.error)
    return counts
