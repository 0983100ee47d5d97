"""`yuqing analyze --replay`: analyse a day's documents again and say what would change; nothing is written unless asked."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from llm import records
from llm.analysis.analyze import AnalysisResult
from llm.analysis.client import LLMClient, LLMRefused
from llm.analysis.schema import InvalidAnswer
from llm.analyst import Analyst, Judged
from llm.inheritance import hand_down, inherit, source_of
from llm.locks import DocumentLocks
from llm.records import Subject
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


def _for(subject: Subject, original: Subject, judged: Judged) -> Judged:
    """What was judged of the original, as far as it is about the subject's companies."""
    of_company = dict(zip(original.companies, judged.result.companies, strict=True))
    companies = tuple(of_company[company_id] for company_id in subject.companies)
    return replace(judged, result=replace(judged.result, companies=companies))


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

        mentioning = [each for each in await asyncio.gather(*map(read, doc_ids)) if each is not None and each.companies]
        of_the_day = {subject.doc_id: subject for subject in mentioning}
        # An original and the reprints that say the same are asked about once.
        asked: dict[str, asyncio.Task[Judged | None]] = {}

        async def source(subject: Subject) -> Subject:
            async with room, pool.connect() as connection:
                return of_the_day.get(await source_of(connection, subject), subject)

        async def judge(subject: Subject) -> Judged | None:
            async with room:
                try:
                    return await analyst.judge(subject)
                except (InvalidAnswer, ValueError) as error:
                    log.warning("a document could not be analysed again", doc_id=subject.doc_id, reason=str(error))
                    return None

        async def one(subject: Subject) -> tuple[Judged | None, bool, list[Change]]:
            original = await source(subject)
            if original.doc_id not in asked:
                asked[original.doc_id] = asyncio.create_task(judge(original))
            judged = await asked[original.doc_id]
            bar.advance(task)
            if judged is None:
                return None, False, []
            judged = _for(subject, original, judged)
            return judged, original is subject, _compare(subject, judged.result, *await _known(pool, subject))

        found = await asyncio.gather(*map(one, mentioning))
        written = 0
        if write:
            for subject, (judged, own, _) in zip(mentioning, found, strict=True):
                written += judged is not None and await _write(pool, subject, judged, own=own)
        return Replay(
            documents=len(found),
            failed=sum(judged is None for judged, _, _ in found),
            written=written,
            served=f"{served.model}+{served.adapter}" if served.adapter else served.model,
            changes=tuple(change for _, _, changes in found for change in changes),
        )


async def _read(pool: AsyncEngine, doc_id: str) -> Subject | None:
    async with pool.connect() as connection:
        return await records.read_subject(connection, doc_id)


async def _write(pool: AsyncEngine, subject: Subject, judged: Judged, *, own: bool) -> bool:
    """Replace the stored analysis; a reprint takes over its original's, and those of other days theirs again.

    `own`: it was the subject that was read. What was read of its original is written by taking it over, or not at all.
    """
    async with pool.begin() as connection:
        original = await source_of(connection, subject)
        if original != subject.doc_id:
            copied = await inherit(connection, subject, original, judged.lineage)
            if copied is not None or not own:
                return bool(copied)
        written = await records.write_result(connection, subject, judged.result, judged.lineage)
        await hand_down(connection, subject.doc_id, judged.lineage)
        return written
