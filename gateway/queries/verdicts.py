"""What the model says: of a document, and of each of a team's companies in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import FromClause, RowMapping, Select, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.cursors import Cursor, after
from yuqing.contracts import Sentiment
from yuqing.database.models import Company, Correction, Coverage, Document, DocumentAnalysisRow, VerdictRow


@dataclass(frozen=True)
class StoredLineage:
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
    lineage: StoredLineage


@dataclass(frozen=True)
class Quote:
    """Characters [start, end) of the text of the version that was judged; for speech, the second."""

    quote: str
    start: int
    end: int
    start_s: float | None = None


@dataclass(frozen=True)
class ModelVerdict:
    """What the model had said before an analyst corrected it."""

    sentiment: Sentiment
    score: float
    confidence: float
    risk_level: int
    risk_types: tuple[str, ...]
    evidence: tuple[Quote, ...]
    grounded: bool


@dataclass(frozen=True)
class CorrectionNote:
    """Who corrected a verdict and why; `version` counts the document's and company's corrections from 1."""

    version: int
    author: str
    reason: str
    created_at: datetime
    model: ModelVerdict


@dataclass(frozen=True)
class CompanyVerdict:
    """Of one company in one document, as the team sees it. Without `grounded` the model named no sentence that exists.

    With `correction` an analyst has said so: the score is 1, 0 or -1 and the confidence 1; `lineage` is the model's.
    """

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
    lineage: StoredLineage
    correction: CorrectionNote | None = None


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


_LINEAGE = tuple(StoredLineage.__dataclass_fields__)
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


def _lineage(row: RowMapping) -> StoredLineage:
    return StoredLineage(**{name: row[name] for name in _LINEAGE})


_OF_MODEL = tuple(ModelVerdict.__dataclass_fields__)
_CORRECTED = ("sentiment", "risk_level", "risk_types", "evidence")
# An analyst is sure: what the model's probabilities would be at the ends of their scales.
SCORE_OF = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}


def _latest_correction() -> FromClause:
    """The last version that corrects the verdict of this text; the triggers of `coverage` know the same rule."""
    return (
        select(Correction)
        .where(
            Correction.doc_id == VerdictRow.doc_id,
            Correction.company_id == VerdictRow.company_id,
            Correction.content_hash == VerdictRow.content_hash,
        )
        .order_by(Correction.id.desc())
        .limit(1)
        .lateral("correction")
    )


def select_verdicts(team_id: int, *more: Any) -> Select[Any]:
    """The verdicts on a team's companies with their corrections, and `more` columns; for `shown_verdict`."""
    latest = _latest_correction()
    columns = (getattr(VerdictRow, name) for name in (*_OF_VERDICT, *_LINEAGE))
    corrected = (
        latest.c[name].label(f"corrected_{name}")
        for name in (*_CORRECTED, "version", "author", "reason", "created_at", "withdrawn")
    )
    return (
        select(*columns, *corrected, Company.name.label("company"), *more)
        .select_from(VerdictRow)
        .join(Company, Company.id == VerdictRow.company_id)
        .outerjoin(latest, not_(latest.c.withdrawn))
        .where(Company.team_id == team_id)
    )


def _quotes(evidence: list[dict[str, Any]]) -> tuple[Quote, ...]:
    return tuple(Quote(**quote) for quote in evidence)


def shown_verdict(row: RowMapping) -> CompanyVerdict:
    """A row of `select_verdicts` as the team sees it."""
    values: dict[str, Any] = {name: row[name] for name in _OF_VERDICT}
    values |= {"risk_types": tuple(values["risk_types"]), "evidence": _quotes(values["evidence"])}
    note = None
    if row["corrected_version"] is not None:
        model = ModelVerdict(**{name: values[name] for name in _OF_MODEL})
        note = CorrectionNote(
            row["corrected_version"],
            row["corrected_author"],
            row["corrected_reason"],
            row["corrected_created_at"],
            model,
        )
        values |= {name: row[f"corrected_{name}"] for name in _CORRECTED}
        values |= {"risk_types": tuple(values["risk_types"]), "evidence": _quotes(values["evidence"])}
        # Whoever corrects has read the text; no sentence has to prove it.
        values |= {"score": SCORE_OF[values["sentiment"]], "confidence": 1.0, "grounded": True}
    return CompanyVerdict(company=row["company"], lineage=_lineage(row), correction=note, **values)


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
    statement = select_verdicts(team_id).where(VerdictRow.doc_id == doc_id)
    found = [shown_verdict(row) for row in (await connection.execute(statement)).mappings()]
    return tuple(sorted(found, key=lambda verdict: (-verdict.risk_level, verdict.score, verdict.company_id)))


async def verdict_of(
    connection: AsyncConnection, team_id: int, doc_id: str, company_id: int, *, lock: bool = False
) -> CompanyVerdict | None:
    """The verdict on one of the team's companies in a document; with `lock` the model writes none until the end."""
    statement = select_verdicts(team_id).where(VerdictRow.doc_id == doc_id, VerdictRow.company_id == company_id)
    if lock:
        await connection.execute(
            select(VerdictRow.doc_id)
            .where(VerdictRow.doc_id == doc_id, VerdictRow.company_id == company_id)
            .with_for_update()
        )
    row = (await connection.execute(statement)).mappings().first()
    return shown_verdict(row) if row else None


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
    page = (
        select(Coverage.doc_id, Coverage.company_id, Coverage.time)
        .where(Coverage.team_id == team_id, Coverage.company_id == company_id, Coverage.sentiment.is_not(None))
        .order_by(Coverage.time.desc(), Coverage.doc_id)
        .limit(limit + 1)
    )
    if wanted.sentiment is not None:
        page = page.where(Coverage.sentiment == wanted.sentiment)
    if wanted.risk is not None:
        page = page.where(Coverage.risk_level >= wanted.risk)
    if wanted.since is not None:
        page = page.where(Coverage.time >= wanted.since)
    if wanted.until is not None:
        page = page.where(Coverage.time < wanted.until)
    if cursor is not None:
        page = page.where(after(cursor, Coverage.time, Coverage.doc_id))
    listed = page.cte("page")
    statement = (
        select_verdicts(team_id, Document.doc_id, Document.title, Document.site, listed.c.time)
        .join(listed, (listed.c.doc_id == VerdictRow.doc_id) & (listed.c.company_id == VerdictRow.company_id))
        .join(Document, Document.doc_id == listed.c.doc_id)
        .order_by(listed.c.time.desc(), listed.c.doc_id)
    )
    rows = (await connection.execute(statement)).mappings().all()
    items = tuple(
        ListedVerdict(row["doc_id"], row["title"], row["site"], row["time"], shown_verdict(row)) for row in rows[:limit]
    )
    more = len(rows) > limit
    return VerdictPage(items, Cursor(items[-1].time, items[-1].doc_id).encode() if more else None)
