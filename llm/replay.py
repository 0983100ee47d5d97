"""`yuqing analyze --replay`: analyse a day's documents again and say what would change; nothing is written unless asked."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from llm import records
from llm.analysis.analyze import AnalysisResult
from llm.analysis.client import LLMClient, LLMRefused
from llm.analysis.schema import InvalidAnswer
from llm.locks import DocumentLocks
from llm.records import Subject
from llm.worker import Analyst, Judged
from yuqing.database.models import Document, DocumentAnalysisRow, VerdictRow
from yuqing.database.session import async_engine
from yuqing.endpoints import llm_endpoint
from yuqing.settings import Settings
from yuqing.telemetry import get_logger, progress

log = get_logger(__name__)


@dataclass(frozen=True)
class Change:
    """A sentiment or risk level that another analysis sees otherwise; `company` is None for the document as a whole."""

    doc_id: str
    title: str
    company: str | None
    field: str
    before: str | int | None
    after: str | int


@dataclass(frozen=True)
class Replay:
    """What a replay of a day found: documents analysed again, those that failed, what changed, and what was written."""

    documents: int
    failed: int
    written: int
    served: str
    changes: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        """The fields in order."""
        return asdict(self)


def _compare(subject: Subject, result: AnalysisResult, analysis: Any, verdicts: dict[int, Any]) -> list[Change]:
    def change(company: str | None, field: str, before: Any, after: Any) -> list[Change]:
        return [Change(subject.doc_id, subject.title, company, field, before, after)] if before != after else []

    found = change(None, "sentiment", analysis.sentiment if analysis else None, result.sentiment)
    for company_id, company in zip(subject.companies, result.companies, strict=True):
        known = verdicts.get(company_id)
        found += change(company.company, "sentiment", known.sentiment if known else None, company.sentiment)
        found += change(company.company, "risk_level", known.risk_level if known else None, company.risk_level)
    return found


async def _documents(pool: AsyncEngine, day: date) -> Sequence[str]:
    """The documents first seen on that UTC day that mention somebody: originals before their reprints."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    statement = (
        select(Document.doc_id)
        .where(Document.first_seen >= start, Document.first_seen < start + timedelta(days=1))
        .order_by(Document.first_seen, Document.doc_id)
    )
    async with pool.connect() as connection:
        return (await connection.execute(statement)).scalars().all()


async def _known(pool: AsyncEngine, subject: Subject) -> tuple[Any, dict[int, Any]]:
    """The stored analysis of this version and its verdicts by company."""
    async with pool.connect() as connection:
        analysis = await connection.execute(
            select(DocumentAnalysisRow.sentiment).where(
                DocumentAnalysisRow.doc_id == subject.doc_id, DocumentAnalysisRow.content_hash == subject.content_hash
            )
        )
        verdicts = await connection.execute(
            select(VerdictRow.company_id, VerdictRow.sentiment, VerdictRow.risk_level).where(
                VerdictRow.doc_id == subject.doc_id, VerdictRow.content_hash == subject.content_hash
            )
        )
        return analysis.first(), {row.company_id: row for row in verdicts}


async def replay(settings: Settings, day: date, *, adapter: str | None = None, write: bool = False) -> Replay:
    """Analyse the documents first seen on `day` (UTC) again, with what the server serves now.

    `adapter` is what the server must serve (the beginning of its name is enough); it is refused otherwise, so that nothing
    is taken for another adapter's work. With `write` the new analyses replace the stored ones, document by document.
    Raises LLMAway, LLMRefused, DatabaseAway, NotConfigured.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(LLMClient(llm_endpoint(settings), settings.llm))
        served = await client.served()
        if adapter is not None and not (served.adapter or "").startswith(adapter):
            raise LLMRefused(
                f"the server serves {served.model} with the adapter {served.adapter or 'none'}, not {adapter}",
                cure=f"start one that serves it: YUQING_LLM__ADAPTER={adapter} yuqing llm serve --port 8002, "
                "and name it by YUQING_LLM__URL",
            )
        pool = async_engine(settings)
        stack.push_async_callback(pool.dispose)
        locks = await stack.enter_async_context(DocumentLocks(pool))
        analyst = Analyst(pool, client, locks, settings)
        doc_ids = await _documents(pool, day)
        bar = stack.enter_context(progress())
        task = bar.add_task("replay", total=len(doc_ids))
        room = asyncio.Semaphore(settings.llm.concurrency)

        async def read(doc_id: str) -> Subject | None:
            async with room:  # the pool has few connections, and waiting for one has an end
                return await _read(pool, doc_id)

        subjects = await asyncio.gather(*map(read, doc_ids))
        # An original and its equal reprints are asked about once.
        asked: dict[tuple[object, ...], asyncio.Task[Judged | None]] = {}

        async def judge(subject: Subject) -> Judged | None:
            async with room:
                try:
                    return await analyst.judge(subject)
                except (InvalidAnswer, ValueError) as error:
                    log.warning("a document could not be analysed again", doc_id=subject.doc_id, reason=str(error))
                    return None

        async def one(subject: Subject) -> tuple[Judged | None, list[Change]]:
            key = (subject.title, subject.text, *subject.companies)
            if key not in asked:
                asked[key] = asyncio.create_task(judge(subject))
            judged = await asked[key]
            bar.advance(task)
            if judged is None:
                return None, []
            return judged, _compare(subject, judged.result, *await _known(pool, subject))

        mentioning = [subject for subject in subjects if subject is not None and subject.companies]
        found = await asyncio.gather(*map(one, mentioning))
        written = 0
        if write:
            for subject, (judged, _) in zip(mentioning, found, strict=True):
                written += judged is not None and await _write(pool, subject, judged)
        return Replay(
            documents=len(found),
            failed=sum(judged is None for judged, _ in found),
            written=written,
            served=f"{served.model}+{served.adapter}" if served.adapter else served.model,
            changes=tuple(change for _, changes in found for change in changes),
        )


async def _read(pool: AsyncEngine, doc_id: str) -> Subject | None:
    async with pool.connect() as connection:
        return await records.read_subject(connection, doc_id)


async def _write(pool: AsyncEngine, subject: Subject, judged: Judged) -> bool:
    """Replace the stored analysis; a reprint takes over its original's where that has this lineage."""
    async with pool.begin() as connection:
        earliest = await records.first_equal(connection, subject)
        if earliest != subject.doc_id:
            copied = await records.inherit(connection, subject, earliest, judged.lineage)
            if copied is not None:
                return copied
        return await records.write_result(connection, subject, judged.result, judged.lineage)
