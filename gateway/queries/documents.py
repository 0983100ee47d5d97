"""Lists of documents. A team sees the documents that mention one of its companies, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, String, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.cursors import Cursor
from gateway.queries.listing import read_page, select_keys
from gateway.queries.selection import DocumentFilter, time_of
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
    """A page of the team's documents. One statement; with words or by risk a few for the keys and one for the rows."""
    if wanted.terms is None and wanted.sort == "time":
        rows = await read_page(connection, team_id, wanted, limit + 1, cursor, _with_everything)
        items = tuple(_item(row) for row in rows[:limit])
        return DocumentPage(items, Cursor(items[-1].time, items[-1].doc_id).encode() if len(rows) > limit else None)
    keys = await select_keys(connection, team_id, wanted, limit=limit + 1, cursor=cursor)
    shown = [key.doc_id for key in keys[:limit]]
    found = {row[0]: row for row in await _rows(connection, team_id, shown, wanted.terms)} if shown else {}
    # A document that was deleted since its key was read is left out.
    items = tuple(_item(found[doc_id]) for doc_id in shown if doc_id in found)
    return DocumentPage(items, keys[limit - 1].encode() if len(keys) > limit else None)


_SHOWN, _MEMBER, _COVERED = aliased(Document), aliased(Coverage), aliased(Coverage)
_TEAM: Any = bindparam("team_id", type_=Integer)
_REPRINTS = (
    select(func.count(_MEMBER.doc_id.distinct()) - 1)
    .where(_MEMBER.group_id == _SHOWN.group_id, _MEMBER.team_id == _TEAM)
    .correlate(_SHOWN)
    .scalar_subquery()
)
_MENTIONED = (
    select(
        func.json_build_array(
            Company.id,
            Company.name,
            _COVERED.relevance,
            _COVERED.sentiment,
            _COVERED.risk_level,
            _COVERED.confidence,
        ).label("mention")
    )
    .select_from(_COVERED)
    .join(Company, Company.id == _COVERED.company_id)
    .where(_COVERED.team_id == _TEAM, _COVERED.doc_id == _SHOWN.doc_id)
    .order_by(_COVERED.relevance.desc(), Company.id)
    .correlate(_SHOWN)
    .subquery()
)
# The fields of a DocumentItem in their order, but for the snippet, which comes last.
_FIELDS = (
    _SHOWN.doc_id,
    _SHOWN.kind,
    _SHOWN.site,
    _SHOWN.source,
    _SHOWN.title,
    _SHOWN.url,
    time_of(_SHOWN),
    _SHOWN.published_at,
    _SHOWN.first_seen,
    _SHOWN.group_id,
    _REPRINTS,
    DocumentAnalysisRow.sentiment,
    DocumentAnalysisRow.category,
    DocumentAnalysisRow.summary,
    select(func.json_agg(_MENTIONED.c.mention)).scalar_subquery(),
)


def _with_everything(keys: Select[Any]) -> Select[Any]:
    """The rows of a page, in its order, from a statement for its keys."""
    page = keys.subquery("page")
    return (
        _rows_of(func.substr(_SHOWN.text, 1, SNIPPET_CHARACTERS))
        .join(page, page.c.doc_id == _SHOWN.doc_id)
        .order_by(page.c.time.desc(), page.c.doc_id)
    )


def _rows_of(snippet: ColumnElement[str]) -> Select[Any]:
    return (
        select(*_FIELDS, snippet)
        .select_from(_SHOWN)
        .outerjoin(DocumentAnalysisRow, DocumentAnalysisRow.doc_id == _SHOWN.doc_id)
    )


def _item(row: Sequence[Any]) -> DocumentItem:
    *fields, mentions, snippet = row
    values: tuple[Any, ...] = (*fields, snippet, tuple(CompanyMention(*mention) for mention in mentions or ()))
    return DocumentItem(*values)


async def _rows(
    connection: AsyncConnection, team_id: int, doc_ids: Sequence[str], terms: Terms | None
) -> Sequence[Sequence[Any]]:
    start: Any = snippet_start(terms, _SHOWN.text) if terms else 1
    statement = _rows_of(func.substr(_SHOWN.text, start, SNIPPET_CHARACTERS))
    chosen = cast(bindparam("doc_ids", list(doc_ids)), ARRAY(String))
    statement = statement.where(_SHOWN.doc_id == func.any(chosen))
    rows: Sequence[Any] = (await connection.execute(statement, {"team_id": team_id})).all()
    return rows
