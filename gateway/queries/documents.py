"""Lists of documents. A team sees the documents that mention one of its companies, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.cursors import Cursor, after
from gateway.queries.terms import Terms, matches, snippet_start
from yuqing.contracts import Sentiment
from yuqing.database.models import Company, Document, DocumentAnalysisRow, MentionRow, VerdictRow

SNIPPET_CHARACTERS = 110  # two lines of a list at 16 px in a column of 44 em


@dataclass(frozen=True)
class DocumentFilter:
    """What to list. `risk` is the lowest level; sentiment, risk and company have to hold of one and the same verdict.

    `collapse` shows of each reprint group only the earliest document that fits.
    """

    company_id: int | None = None
    sentiment: Sentiment | None = None
    risk: int | None = None
    site: str | None = None
    kind: str | None = None
    category: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    terms: Terms | None = None
    collapse: bool = False


@dataclass(frozen=True)
class CompanyMention:
    """A company of the team in a document; without sentiment until the model has judged it."""

    company_id: int
    company: str
    relevance: float
    sentiment: Sentiment | None
    risk_level: int | None
    confidence: float | None


@dataclass(frozen=True)
class DocumentItem:
    """A document in a list; `time` is its publication, or else when it was first seen."""

    doc_id: str
    kind: str
    site: str
    source: str | None
    title: str
    url: str
    time: datetime
    published_at: datetime | None
    first_seen: datetime
    group_id: str
    reprints: int
    sentiment: Sentiment | None
    category: str | None
    summary: str | None
    snippet: str
    companies: tuple[CompanyMention, ...]


@dataclass(frozen=True)
class DocumentPage:
    """One page of a list; `next_cursor` is None on the last one."""

    items: tuple[DocumentItem, ...]
    next_cursor: str | None


def time_of(document: type[Document]) -> ColumnElement[datetime]:
    """The time by which lists are sorted; the same expression as in the index."""
    return func.coalesce(document.published_at, document.first_seen)


def visible(document: type[Document], team_id: int, company_id: int | None = None) -> ColumnElement[bool]:
    """Whether a document mentions the team's company (this one, or any)."""
    company = aliased(Company)
    mention = aliased(MentionRow)
    of_team = [mention.doc_id == document.doc_id, company.id == mention.company_id, company.team_id == team_id]
    if company_id is not None:
        of_team.append(company.id == company_id)
    return exists().where(*of_team)


async def may_read(connection: AsyncConnection, team_id: int, doc_id: str) -> bool:
    """Whether the document exists and mentions a company of the team."""
    statement = select(Document.doc_id).where(Document.doc_id == doc_id, visible(Document, team_id))
    return (await connection.execute(statement)).first() is not None


def _judged(document: type[Document], team_id: int, wanted: DocumentFilter) -> ColumnElement[bool]:
    company = aliased(Company)
    verdict = aliased(VerdictRow)
    conditions = [verdict.doc_id == document.doc_id, company.id == verdict.company_id, company.team_id == team_id]
    if wanted.company_id is not None:
        conditions.append(verdict.company_id == wanted.company_id)
    if wanted.sentiment is not None:
        conditions.append(verdict.sentiment == wanted.sentiment)
    if wanted.risk is not None:
        conditions.append(verdict.risk_level >= wanted.risk)
    return exists().where(*conditions)


def _fits(document: type[Document], team_id: int, wanted: DocumentFilter) -> ColumnElement[bool]:
    conditions = [visible(document, team_id, wanted.company_id)]
    if wanted.sentiment is not None or wanted.risk is not None:
        conditions.append(_judged(document, team_id, wanted))
    if wanted.category is not None:
        analysis = aliased(DocumentAnalysisRow)
        conditions.append(exists().where(analysis.doc_id == document.doc_id, analysis.category == wanted.category))
    if wanted.site is not None:
        conditions.append(document.site == wanted.site)
    if wanted.kind is not None:
        conditions.append(document.kind == wanted.kind)
    if wanted.since is not None:
        conditions.append(time_of(document) >= wanted.since)
    if wanted.until is not None:
        conditions.append(time_of(document) < wanted.until)
    if wanted.terms is not None:
        conditions.append(matches(wanted.terms, document.search, document.title, document.text))
    return and_(*conditions)


def _earlier_fits(document: type[Document], team_id: int, wanted: DocumentFilter) -> ColumnElement[bool]:
    """Whether an earlier document of the same reprint group is in the list too."""
    other = aliased(Document)
    earlier = or_(
        other.first_seen < document.first_seen,
        and_(other.first_seen == document.first_seen, other.doc_id < document.doc_id),
    )
    return exists().where(other.group_id == document.group_id, earlier, _fits(other, team_id, wanted))


async def list_documents(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, *, limit: int, cursor: Cursor | None = None
) -> DocumentPage:
    """A page of the team's documents, newest first. Two statements, however many documents."""
    document = aliased(Document)
    member = aliased(Document)
    analysis = aliased(DocumentAnalysisRow)
    time = time_of(document)
    reprints = (
        select(func.count() - 1)
        .where(member.group_id == document.group_id, visible(member, team_id))
        .correlate(document)
        .scalar_subquery()
    )
    start = snippet_start(wanted.terms, document.text) if wanted.terms else 1
    statement = (
        select(
            document.doc_id,
            document.kind,
            document.site,
            document.source,
            document.title,
            document.url,
            time.label("time"),
            document.published_at,
            document.first_seen,
            document.group_id,
            reprints.label("reprints"),
            analysis.sentiment,
            analysis.category,
            analysis.summary,
            func.substr(document.text, start, SNIPPET_CHARACTERS).label("snippet"),
        )
        .outerjoin(analysis, analysis.doc_id == document.doc_id)
        .where(_fits(document, team_id, wanted))
        .order_by(time.desc(), document.doc_id)
        .limit(limit + 1)
    )
    if wanted.collapse:
        statement = statement.where(not_(_earlier_fits(document, team_id, wanted)))
    if cursor is not None:
        statement = statement.where(after(cursor, time, document.doc_id))
    rows: Sequence[Any] = (await connection.execute(statement)).mappings().all()
    mentions = await mentions_of(connection, team_id, [row["doc_id"] for row in rows[:limit]])
    items = tuple(DocumentItem(**row, companies=mentions.get(row["doc_id"], ())) for row in rows[:limit])
    more = len(rows) > limit
    return DocumentPage(items, Cursor(items[-1].time, items[-1].doc_id).encode() if more else None)


async def mentions_of(
    connection: AsyncConnection, team_id: int, doc_ids: Sequence[str]
) -> dict[str, tuple[CompanyMention, ...]]:
    """The team's companies in each document, the most relevant first."""
    if not doc_ids:
        return {}
    statement = (
        select(
            MentionRow.doc_id,
            Company.id.label("company_id"),
            Company.name.label("company"),
            MentionRow.relevance,
            VerdictRow.sentiment,
            VerdictRow.risk_level,
            VerdictRow.confidence,
        )
        .join(Company, Company.id == MentionRow.company_id)
        .outerjoin(
            VerdictRow, and_(VerdictRow.doc_id == MentionRow.doc_id, VerdictRow.company_id == MentionRow.company_id)
        )
        .where(Company.team_id == team_id, MentionRow.doc_id.in_(doc_ids))
        .order_by(MentionRow.doc_id, MentionRow.relevance.desc(), Company.id)
    )
    found: dict[str, list[CompanyMention]] = {}
    for row in (await connection.execute(statement)).mappings():
        values = dict(row)
        found.setdefault(values.pop("doc_id"), []).append(CompanyMention(**values))
    return {doc_id: tuple(companies) for doc_id, companies in found.items()}
