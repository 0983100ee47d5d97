"""Documents in, analyses and verdicts out: the stage's side of the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from llm.analysis.analyze import AnalysisResult
from llm.analysis.prompts import Company
from llm.triage.model import ENGINE as TRIAGE_ENGINE
from yuqing.contracts import Evidence, Lineage, TimedSpan
from yuqing.database.models import (
    Company as CompanyRow,
)
from yuqing.database.models import (
    Document,
    DocumentAnalysisRow,
    Event,
    MentionRow,
    VerdictRow,
)

# What makes two analyses the same work: not what they cost or when they were made.
_LINEAGE_KEY = ("engine", "model", "adapter", "prompt_version", "cleaning_version")


@dataclass(frozen=True)
class Subject:
    """A document's current version and the watched companies that it mentions, the most relevant first."""

    doc_id: str
    content_hash: str
    title: str
    text: str
    segments: tuple[TimedSpan, ...]
    group_id: str
    first_seen: datetime
    cleaning_version: str
    companies: dict[int, Company]


async def read_subject(connection: AsyncConnection, doc_id: str) -> Subject | None:
    """The document with its mentions; None when it is not there."""
    row = (await connection.execute(select(Document.__table__).where(Document.doc_id == doc_id))).mappings().first()
    if row is None:
        return None
    mentions = await connection.execute(
        select(MentionRow.company_id, MentionRow.spans, CompanyRow.name)
        .join(CompanyRow, CompanyRow.id == MentionRow.company_id)
        .where(MentionRow.doc_id == doc_id, MentionRow.content_hash == row["content_hash"], CompanyRow.enabled)
        .order_by(MentionRow.relevance.desc(), MentionRow.company_id)
    )
    companies = {}
    for company_id, spans, name in mentions:
        # The names as this document writes them, the most frequent first.
        written = [str(span["name"]) for span in spans]
        aliases = sorted(set(written) - {name}, key=lambda alias: (-written.count(alias), alias))
        companies[company_id] = Company(name, tuple(aliases))
    return Subject(
        doc_id=doc_id,
        content_hash=row["content_hash"],
        title=row["title"],
        text=row["text"],
        segments=tuple(TimedSpan.model_validate(segment) for segment in row["segments"]),
        group_id=row["group_id"],
        first_seen=row["first_seen"],
        cleaning_version=row["cleaning_version"],
        companies=companies,
    )


def _of_lineage(table: Any, doc_id: str, content_hash: str, lineage: Lineage) -> list[Any]:
    return [
        table.doc_id == doc_id,
        table.content_hash == content_hash,
        *(getattr(table, name).is_not_distinct_from(getattr(lineage, name)) for name in _LINEAGE_KEY),
    ]


async def is_read_by_model(connection: AsyncConnection, doc_id: str) -> bool:
    """Whether a language model, and not triage, has analysed the document's current version."""
    one = (
        select(DocumentAnalysisRow.doc_id)
        .join(Document, Document.doc_id == DocumentAnalysisRow.doc_id)
        .where(
            DocumentAnalysisRow.doc_id == doc_id,
            DocumentAnalysisRow.content_hash == Document.content_hash,
            DocumentAnalysisRow.engine != TRIAGE_ENGINE,
        )
    )
    return (await connection.execute(one)).first() is not None


async def is_analysed(connection: AsyncConnection, subject: Subject, lineage: Lineage) -> bool:
    """Whether this version has an analysis, and a verdict on each of its companies, of the same lineage."""
    one = select(DocumentAnalysisRow.doc_id).where(
        *_of_lineage(DocumentAnalysisRow, subject.doc_id, subject.content_hash, lineage)
    )
    if (await connection.execute(one)).first() is None:
        return False
    judged = await connection.execute(
        select(VerdictRow.company_id).where(*_of_lineage(VerdictRow, subject.doc_id, subject.content_hash, lineage))
    )
    return set(subject.companies) <= set(judged.scalars())


async def _settle(
    connection: AsyncConnection, subject: Subject, analysis: dict[str, Any], verdicts: Sequence[dict[str, Any]]
) -> bool:
    """Write the rows inside the caller's transaction; False (and nothing written) when the document has changed."""
    current = await connection.execute(
        select(Document.content_hash).where(Document.doc_id == subject.doc_id).with_for_update(read=True)
    )
    if current.scalar_one_or_none() != subject.content_hash:
        return False
    wanted = [row["company_id"] for row in verdicts]
    kept = await connection.execute(
        select(CompanyRow.id).where(CompanyRow.id.in_(wanted)).with_for_update(read=True, key_share=True)
    )
    known = set(kept.scalars())
    rows = [row for row in verdicts if row["company_id"] in known]
    # Verdicts on an earlier version are about another text.
    await connection.execute(
        delete(VerdictRow).where(VerdictRow.doc_id == subject.doc_id, VerdictRow.content_hash != subject.content_hash)
    )
    await _upsert(connection, DocumentAnalysisRow, ["doc_id"], [analysis])
    await _upsert(connection, VerdictRow, ["doc_id", "company_id"], rows)
    payload = {"sentiment": analysis["sentiment"], "companies": sorted(row["company_id"] for row in rows)}
    await connection.execute(insert(Event).values(kind="analysis", doc_id=subject.doc_id, payload=payload))
    return True


async def _upsert(connection: AsyncConnection, table: Any, key: list[str], rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = insert(table).values(list(rows))
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=changed | {"created_at": func.now()})
    )


async def write_result(connection: AsyncConnection, subject: Subject, result: AnalysisResult, lineage: Lineage) -> bool:
    """Write an analysis and its verdicts; False when the document has changed meanwhile."""
    shared = {"doc_id": subject.doc_id, "content_hash": subject.content_hash, "inherited_from": None}
    shared |= lineage.model_dump()
    analysis = {
        **shared,
        "sentiment": result.sentiment,
        "score": result.score,
        "confidence": result.confidence,
        "category": result.category,
        "summary": result.summary,
        "keywords": list(result.keywords),
    }
    verdicts = [
        {
            **shared,
            "company_id": company_id,
            "sentiment": company.sentiment,
            "score": company.score,
            "confidence": company.confidence,
            "risk_level": company.risk_level,
            "risk_types": list(company.risk_types),
            "evidence": [item.model_dump() for item in company.evidence],
            "grounded": company.grounded,
        }
        for company_id, company in zip(subject.companies, result.companies, strict=True)
    ]
    return await _settle(connection, subject, analysis, verdicts)


@dataclass(frozen=True)
class Stored:
    """A document's stored analysis and its verdicts by company, as rows."""

    analysis: dict[str, Any]
    verdicts: dict[int, dict[str, Any]]


async def read_stored(connection: AsyncConnection, subject: Subject, lineage: Lineage) -> Stored | None:
    """What is stored of this version and lineage; None without an analysis."""
    analysis = await connection.execute(
        select(DocumentAnalysisRow.__table__).where(
            *_of_lineage(DocumentAnalysisRow, subject.doc_id, subject.content_hash, lineage)
        )
    )
    row = analysis.mappings().first()
    if row is None:
        return None
    verdicts = await connection.execute(
        select(VerdictRow.__table__).where(*_of_lineage(VerdictRow, subject.doc_id, subject.content_hash, lineage))
    )
    return Stored(dict(row), {verdict["company_id"]: dict(verdict) for verdict in verdicts.mappings()})


async def write_copy(
    connection: AsyncConnection, subject: Subject, source: str, stored: Stored, quotes: Mapping[int, list[Evidence]]
) -> bool:
    """Write another document's analysis and verdicts as the subject's; False when the subject has changed meanwhile.

    `quotes` are each company's in the subject's own text. Costs are those of the copy: none.
    """
    shared: dict[str, Any] = {"doc_id": subject.doc_id, "content_hash": subject.content_hash, "inherited_from": source}
    shared |= {"prompt_tokens": 0, "completion_tokens": 0, "latency_ms": 0}

    def copied(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != "created_at"} | shared

    rows = [
        copied(stored.verdicts[company_id]) | {"evidence": [item.model_dump() for item in quotes[company_id]]}
        for company_id in subject.companies
    ]
    return await _settle(connection, subject, copied(stored.analysis), rows)


async def heirs_of(connection: AsyncConnection, doc_id: str) -> Sequence[str]:
    """The documents whose analysis or verdicts were taken over from this one."""
    found = await connection.execute(
        select(DocumentAnalysisRow.doc_id)
        .where(DocumentAnalysisRow.inherited_from == doc_id)
        .order_by(DocumentAnalysisRow.doc_id)
    )
    return found.scalars().all()
