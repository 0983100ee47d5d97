"""What the model says: of a document, and of each of a team's companies in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.cursors import Cursor, after
from gateway.queries.documents import time_of
from yuqing.contracts import Sentiment
from yuqing.database.models import Company, Document, DocumentAnalysisRow, VerdictRow


@dataclass(frozen=True)
class Lineage:
    """How an analysis came to be; `inherited_from` is the earlier document whose analysis this reprint took over."""

    engine: str
    model: str
    adapter: str | None
    prompt_version: str
    cleaning_version: str
    prompt_tokens: int
    completion_tokens: int
    latency_ms: int
    created_at: datetime
    inherited_from: str | None


@dataclass(frozen=True)
class Analysis:
    """Of a document as a whole. score = P(positive) - P(negative), in [-1, 1]; confidence in [0, 1]."""

    content_hash: str
    sentiment: Sentiment
    score: float
    confidence: float
    category: str
    summary: str
    keywords: tuple[str, ...]
    lineage: Lineage


@dataclass(frozen=True)
class Quote:
    """Characters [start, end) of the text of the version that was judged; for speech, the second."""

    quote: str
    start: int
    end: int
    start_s: float | None = None


@dataclass(frozen=True)
class CompanyVerdict:
    """Of one company in one document. Without `grounded` the model named no sentence that exists."""

    company_id: int
    company: str
    content_hash: str
    sentiment: Sentiment
    score: float
    confidence: float
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Quote, ...]
    grounded: bool
    lineage: Lineage


@dataclass(frozen=True)
class ListedVerdict:
    """A verdict in a company's list, with the document that it is about."""

    doc_id: str
    title: str
    site: str
    time: datetime
    verdict: CompanyVerdict


@dataclass(frozen=True)
class VerdictPage:
    """One page of a company's verdicts; `next_cursor` is None on the last one."""

    items: tuple[ListedVerdict, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class VerdictFilter:
    """Which verdicts of a company; `risk` is the lowest level."""

    sentiment: Sentiment | None = None
    risk: int | None = None
    since: datetime | None = None
    until: datetime | None = None


_LINEAGE = tuple(Lineage.__dataclass_fields__)
_OF_VERDICT = (
    "company_id",
    "content_hash",
    "sentiment",
    "score",
    "confidence",
    "risk_level",
    "risk_types",
    "evidence",
    "grounded",
)
_OF_ANALYSIS = ("content_hash", "sentiment", "score", "confidence", "category", "summary", "keywords")


def _lineage(row: RowMapping) -> Lineage:
    return Lineage(**{name: row[name] for name in _LINEAGE})


def _verdict(row: RowMapping) -> CompanyVerdict:
    values: dict[str, Any] = {name: row[name] for name in _OF_VERDICT}
    values["risk_types"] = tuple(values["risk_types"])
    values["evidence"] = tuple(Quote(**quote) for quote in values["evidence"])
    return CompanyVerdict(company=row["company"], lineage=_lineage(row), **values)


async def analysis_of(connection: AsyncConnection, doc_id: str) -> Analysis | None:
    """A document's analysis; the caller has made sure that the team may see the document."""
    columns = (getattr(DocumentAnalysisRow, name) for name in (*_OF_ANALYSIS, *_LINEAGE))
    statement = select(*columns).where(DocumentAnalysisRow.doc_id == doc_id)
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        return None
    values: dict[str, Any] = {name: row[name] for name in _OF_ANALYSIS}
    values["keywords"] = tuple(values["keywords"])
    return Analysis(lineage=_lineage(row), **values)


async def verdicts_of(connection: AsyncConnection, team_id: int, doc_id: str) -> tuple[CompanyVerdict, ...]:
    """The verdicts on the team's companies in a document, the riskiest first."""
    columns = (getattr(VerdictRow, name) for name in (*_OF_VERDICT, *_LINEAGE))
    statement = (
        select(*columns, Company.name.label("company"))
        .join(Company, Company.id == VerdictRow.company_id)
        .where(Company.team_id == team_id, VerdictRow.doc_id == doc_id)
        .order_by(VerdictRow.risk_level.desc(), VerdictRow.score, Company.id)
    )
    return tuple(_verdict(row) for row in (await connection.execute(statement)).mappings())


async def list_verdicts(
    connection: AsyncConnection,
    team_id: int,
    company_id: int,
    wanted: VerdictFilter,
    *,
    limit: int,
    cursor: Cursor | None = None,
) -> VerdictPage:
    """A page of the verdicts on one of the team's companies, newest document first. One statement."""
    columns = (getattr(VerdictRow, name) for name in (*_OF_VERDICT, *_LINEAGE))
    time = time_of(Document)
    statement = (
        select(
            *columns,
            Company.name.label("company"),
            Document.doc_id,
            Document.title,
            Document.site,
            time.label("time"),
        )
        .join(Company, Company.id == VerdictRow.company_id)
        .join(Document, Document.doc_id == VerdictRow.doc_id)
        .where(Company.team_id == team_id, Company.id == company_id)
        .order_by(time.desc(), Document.doc_id)
        .limit(limit + 1)
    )
    if wanted.sentiment is not None:
        statement = statement.where(VerdictRow.sentiment == wanted.sentiment)
    if wanted.risk is not None:
        statement = statement.where(VerdictRow.risk_level >= wanted.risk)
    if wanted.since is not None:
        statement = statement.where(time >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(time < wanted.until)
    if cursor is not None:
        statement = statement.where(after(cursor, time, Document.doc_id))
    rows = (await connection.execute(statement)).mappings().all()
    items = tuple(
        ListedVerdict(row["doc_id"], row["title"], row["site"], row["time"], _verdict(row)) for row in rows[:limit]
    )
    more = len(rows) > limit
    return VerdictPage(items, Cursor(items[-1].time, items[-1].doc_id).encode() if more else None)
