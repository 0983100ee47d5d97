"""Documents in, analyses and verdicts out: the stage's side of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from llm.analysis.analyze import AnalysisResult
from llm.analysis.evidence import quote
from llm.analysis.prompts import Company
from llm.triage.model import ENGINE as TRIAGE_ENGINE
from yuqing.contracts import Lineage, TimedSpan
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
        cleaning_version=row["cleaning_version"],
        companies=companies,
    )


async def first_equal(connection: AsyncConnection, subject: Subject) -> str:
    """The earliest document of the reprint group with the same title and text; the subject itself when there is none.

    Both were normalised by cleaning, so equal here means equal after normalisation. Earliest by (first_seen, doc_id), so
    that the answer does not depend on which document is analysed first.
    """
    found = await connection.execute(
        select(Document.doc_id)
        .where(
            Document.group_id == subject.group_id,
            Document.content_hash == subject.content_hash,
            Document.title == subject.title,
            Document.text == subject.text,
        )
        .order_by(Document.first_seen, Document.doc_id)
        .limit(1)
    )
    return str(found.scalar_one_or_none() or subject.doc_id)


def _of_lineage(table: Any, doc_id: str, content_hash: str, lineage: Lineage) -> list[Any]:
    return [
        table.doc_id == doc_id,
        table.content_hash == content_hash,
        *(getattr(table, name).is_not_distinct_from(getattr(lineage, name)) for name in _LINEAGE_KEY),
    ]


async def is_read_by_model(connection: AsyncConnection, subject: Subject) -> bool:
    """Whether a language model, and not triage, has analysed this version."""
    one = select(DocumentAnalysisRow.doc_id).where(
        DocumentAnalysisRow.doc_id == subject.doc_id,
        DocumentAnalysisRow.content_hash == subject.content_hash,
        DocumentAnalysisRow.engine != TRIAGE_ENGINE,
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


async def inherit(connection: AsyncConnection, subject: Subject, source: str, lineage: Lineage) -> bool | None:
    """Copy the analysis and verdicts of an equal document; None when it has none for each of the subject's companies.

    False when the subject has changed meanwhile. Costs are those of the copy: none.
    """
    analysis = (
        (
            await connection.execute(
                select(DocumentAnalysisRow.__table__).where(
                    *_of_lineage(DocumentAnalysisRow, source, subject.content_hash, lineage)
                )
            )
        )
        .mappings()
        .first()
    )
    found = await connection.execute(
        select(VerdictRow.__table__).where(
            *_of_lineage(VerdictRow, source, subject.content_hash, lineage),
            VerdictRow.company_id.in_(list(subject.companies)),
        )
    )
    verdicts = found.mappings().all()
    if analysis is None or {row["company_id"] for row in verdicts} != set(subject.companies):
        return None
    shared = {"doc_id": subject.doc_id, "inherited_from": source, "prompt_tokens": 0, "completion_tokens": 0}
    shared["latency_ms"] = 0

    def copied(row: Any) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != "created_at"} | shared

    rows = []
    for row in verdicts:
        # The text is the same, but a recording has its own seconds.
        places = [(item["start"], item["end"]) for item in row["evidence"]]
        quotes = [quote(subject.text, place, subject.segments).model_dump() for place in places]
        rows.append(copied(row) | {"evidence": quotes})
    return await _settle(connection, subject, copied(analysis), rows)
