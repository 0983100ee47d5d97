"""What follows a new company: the watchlist on S3 is written anew, and the documents that exist are looked through.

A job of the queue, deferred in the transaction that adds the company, so that a crash loses nothing; doing it twice
changes nothing.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime

import procrastinate
from sqlalchemy import Connection, String, cast, delete, literal, or_, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.dialects.postgresql import insert as upsert

from gateway.queries.selection import searchable, time_of
from yuqing import watchlist
from yuqing.database.models import Document, MentionRow, VerdictRow
from yuqing.database.session import engine, transaction
from yuqing.errors import YuqingError
from yuqing.jobs import ANALYZE, Job, defer_in_transaction, job_app, put_back_stalled
from yuqing.objects import ObjectStore
from yuqing.settings import Settings
from yuqing.telemetry import get_logger
from yuqing.text.bigrams import tsquery
from yuqing.text.matcher import Matcher, relevance
from yuqing.text.query import QueryError, parse
from yuqing.watchlist import WatchedCompany

log = get_logger("gateway.watching")

QUEUE = "gateway"
WATCH = "watch_company"
# Documents a transaction: short enough not to keep the cleaning's merge waiting.
BATCH = 200
RESTART_S = 5.0


def watch_job(company_id: int) -> Job:
    """The job to defer in the transaction that adds the company."""
    return Job(WATCH, QUEUE, {"company_id": company_id}, queueing_lock=f"{WATCH}:{company_id}")


def watch_company(settings: Settings, company_id: int) -> int:
    """Publish the watchlist and match the company against the latest documents; returns how many mention it.

    Documents in which it was found before and is not any more, because its names or its query have changed, are let go.
    A company that is switched off keeps what it has.
    """
    pool = engine(settings)
    try:
        with transaction(pool) as connection:
            companies = watchlist.publish(connection, ObjectStore.from_settings(settings))
            company = next((known for known in companies if known.id == company_id), None)
            candidates = candidates_of(connection, company, settings.gateway.match_limit) if company else []
            if company:
                known = select(MentionRow.doc_id).where(MentionRow.company_id == company_id)
                held = connection.execute(known).scalars().all()
                candidates = list(dict.fromkeys([*candidates, *held]))
        matcher = Matcher(companies)
        count = 0
        for start in range(0, len(candidates), BATCH):
            with transaction(pool) as connection:
                count += _match(connection, matcher, company_id, candidates[start : start + BATCH])
    finally:
        pool.dispose()
    log.info("company matched", company=company_id, candidates=len(candidates), documents=count)
    return count


def candidates_of(
    connection: Connection, company: WatchedCompany, limit: int, since: datetime | None = None
) -> Sequence[str]:
    """The latest documents that hold all bigrams of one of the names, or of one of the words that its query asks for."""
    queries = [query for query in (*map(tsquery, company.names), *_words(company)) if query]
    if not queries:
        return []
    found = or_(*(searchable(Document).op("@@")(cast(literal(query, String), TSQUERY)) for query in queries))
    statement = select(Document.doc_id).where(found).order_by(time_of(Document).desc(), Document.doc_id).limit(limit)
    if since is not None:
        statement = statement.where(time_of(Document) >= since)
    return connection.execute(statement).scalars().all()


def _words(company: WatchedCompany) -> list[str]:
    """A tsquery for each word of which a document must have one to match the company's query."""
    if not company.query:
        return []
    try:
        words = parse(company.query).words
    except QueryError:
        return []  # the matcher goes by the names then, and so do we
    return [_beginning(word.text) if word.pattern else tsquery(word.text) for word in words]


def _beginning(wildcard: str) -> str:
    """The tsquery of what stands before the first wildcard: 600???.sh begins a word, 0700.* is a word and more."""
    written = re.split(r"[?*]", wildcard)[0]
    terms = [f"'{term}'" for term in re.findall("[0-9a-z]+", written)]
    return " & ".join(terms) + ("" if written.endswith(".") else ":*")


def _match(connection: Connection, matcher: Matcher, company_id: int, doc_ids: Sequence[str]) -> int:
    """Write the company's mentions in these documents, and the jobs that judge new ones, in the caller's transaction."""
    statement = (
        select(Document.doc_id, Document.content_hash, Document.title, Document.text)
        .where(Document.doc_id.in_(doc_ids))
        .order_by(Document.doc_id)
        .with_for_update(key_share=True)  # a new version that is merged meanwhile has offsets of its own
    )
    rows, gone = [], []
    jobs: dict[str, Job] = {}
    for doc_id, content_hash, title, text in connection.execute(statement):
        # The whole watchlist is matched: a longer name of another company hides this one.
        mentions = [mention for mention in matcher.mentions(title, text) if mention.company_id == company_id]
        if not mentions:
            gone.append(doc_id)
            continue
        rows.append(
            {
                "doc_id": doc_id,
                "company_id": company_id,
                "content_hash": content_hash,
                "spans": [mention.model_dump(exclude={"company_id"}) for mention in mentions],
                "relevance": relevance(mentions)[0].score,
            }
        )
        arguments = {"doc_id": doc_id, "content_hash": content_hash}
        in_title = any(mention.field == "title" for mention in mentions)
        lock = f"{ANALYZE}:{doc_id}:{content_hash}"
        jobs[doc_id] = Job(ANALYZE, ANALYZE, arguments, lock, priority=int(in_title))
    for table in (VerdictRow, MentionRow):
        connection.execute(delete(table).where(table.company_id == company_id, table.doc_id.in_(gone)))
    if rows:
        of_company = select(MentionRow.doc_id).where(MentionRow.company_id == company_id, MentionRow.doc_id.in_(jobs))
        known = set(connection.execute(of_company).scalars())
        new = upsert(MentionRow)
        changed = {name: new.excluded[name] for name in ("content_hash", "spans", "relevance")}
        differs = or_(*(getattr(MentionRow, name).is_distinct_from(value) for name, value in changed.items()))
        keys = ["doc_id", "company_id"]
        connection.execute(new.on_conflict_do_update(index_elements=keys, set_=changed, where=differs), rows)
        defer_in_transaction(connection, [job for doc_id, job in jobs.items() if doc_id not in known])
    return len(rows)


async def watch_pending(settings: Settings) -> None:
    """Work the gateway's queue until cancelled; when the database goes away, try again until it is back."""
    while True:
        app = job_app(settings)

        @app.task(
            name=WATCH, queue=QUEUE, retry=procrastinate.RetryStrategy(max_attempts=settings.jobs.attempts, wait=2)
        )
        async def watch(company_id: int) -> None:
            await asyncio.to_thread(watch_company, settings, company_id)

        try:
            async with app.open_async():
                await put_back_stalled(app, settings)
                await app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=1,
                    install_signal_handlers=False,
                    delete_jobs="successful",
                    update_heartbeat_interval=settings.jobs.heartbeat_s,
                    stalled_worker_timeout=settings.jobs.stalled_after_s,
                )
        except (procrastinate.exceptions.ProcrastinateException, YuqingError, OSError) as error:
            log.warning("the gateway's queue is away", reason=str(error))
        await asyncio.sleep(RESTART_S)
