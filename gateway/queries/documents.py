"""Lists of documents. A team sees the documents that mention one of its companies, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.cursors import Cursor
from gateway.queries.selection import DocumentFilter, select_keys, time_of
from gateway.queries.terms import Terms, snippet_start
from yuqing.contracts import Sentiment
from yuqing.database.models import Company, Coverage, Document, DocumentAnalysisRow

SNIPPET_CHARACTERS = 110  # two lines of a list at 16 px in a column of 44 em


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


async def may_read(connection: AsyncConnection, team_id: int, doc_id: str) -> bool:
    """Whether the document exists and mentions a company of the team."""
    statement = select(Coverage.doc_id).where(Coverage.doc_id == doc_id, Coverage.team_id == team_id).limit(1)
    return (await connection.execute(statement)).first() is not None


async def list_documents(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, *, limit: int, cursor: Cursor | None = None
) -> DocumentPage:
    """A page of the team's documents. Three statements, with words up to five (six by relevance), however many rows."""
    keys = await select_keys(connection, team_id, wanted, limit=limit + 1, cursor=cursor)
    shown = [key.doc_id for key in keys[:limit]]
    rows = await _rows(connection, team_id, shown, wanted.terms)
    mentions = await mentions_of(connection, team_id, shown)
    # A document that was deleted since its key was read is left out.
    items = tuple(
        DocumentItem(**rows[doc_id], companies=mentions.get(doc_id, ())) for doc_id in shown if doc_id in rows
    )
    return DocumentPage(items, keys[limit - 1].encode() if len(keys) > limit else None)


_MEMBER = aliased(Coverage)
_IDS = cast(bindparam("doc_ids"), ARRAY(String))
_REPRINTS = (
    select(func.count(_MEMBER.doc_id.distinct()) - 1)
    .where(_MEMBER.group_id == Document.group_id, _MEMBER.team_id == bindparam("team_id"))
    .correlate(Document)
    .scalar_subquery()
)
# Made once: to put a statement together takes longer than to run it.
_ROWS = (
    select(
        Document.doc_id,
        Document.kind,
        Document.site,
        Document.source,
        Document.title,
        Document.url,
        time_of(Document).label("time"),
        Document.published_at,
        Document.first_seen,
        Document.group_id,
        _REPRINTS.label("reprints"),
        DocumentAnalysisRow.sentiment,
        DocumentAnalysisRow.category,
        DocumentAnalysisRow.summary,
    )
    .outerjoin(DocumentAnalysisRow, DocumentAnalysisRow.doc_id == Document.doc_id)
    .where(Document.doc_id == func.any(_IDS))
)
_ROWS_FROM_THE_START = _ROWS.add_columns(func.substr(Document.text, 1, SNIPPET_CHARACTERS).label("snippet"))
_MENTIONS = (
    select(
        Coverage.doc_id,
        Company.id.label("company_id"),
        Company.name.label("company"),
        Coverage.relevance,
        Coverage.sentiment,
        Coverage.risk_level,
        Coverage.confidence,
    )
    .join(Company, Company.id == Coverage.company_id)
    .where(Coverage.team_id == bindparam("team_id"), Coverage.doc_id == func.any(_IDS))
    .order_by(Coverage.doc_id, Coverage.relevance.desc(), Company.id)
)


async def _rows(
    connection: AsyncConnection, team_id: int, doc_ids: Sequence[str], terms: Terms | None
) -> dict[str, dict[str, Any]]:
    if not doc_ids:
        return {}
    statement = _ROWS_FROM_THE_START
    if terms is not None:
        start = snippet_start(terms, Document.text)
        statement = _ROWS.add_columns(func.substr(Document.text, start, SNIPPET_CHARACTERS).label("snippet"))
    rows = await connection.execute(statement, {"team_id": team_id, "doc_ids": list(doc_ids)})
    return {row["doc_id"]: dict(row) for row in rows.mappings()}


async def mentions_of(
    connection: AsyncConnection, team_id: int, doc_ids: Sequence[str]
) -> dict[str, tuple[CompanyMention, ...]]:
    """The team's companies in each document, the most relevant first."""
    if not doc_ids:
        return {}
    rows = await connection.execute(_MENTIONS, {"team_id": team_id, "doc_ids": list(doc_ids)})
    found: dict[str, list[CompanyMention]] = {}
    for row in rows.mappings():
        values = dict(row)
        found.setdefault(values.pop("doc_id"), []).append(CompanyMention(**values))
    return {doc_id: tuple(companies) for doc_id, companies in found.items()}
