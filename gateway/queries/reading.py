"""One document with all that is known of it, for the reading view."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.documents import time_of, visible
from gateway.queries.media import Recording, recordings_of
from gateway.queries.verdicts import (
    Analysis,
    CompanyVerdict,
    analysis_of,
    verdicts_of,
)
from yuqing.database.models import Company, Document, MentionRow


@dataclass(frozen=True)
class MentionSpan:
    """A place where a company's name stands: characters [start, end) of the title or the text."""

    company_id: int
    company: str
    field: str
    start: int
    end: int
    name: str


@dataclass(frozen=True)
class TimedLine:
    """Characters [start, end) of a transcript's text and the seconds at which they were said."""

    start: int
    end: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class GroupMember:
    """A document of the same reprint group."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime
    is_first: bool


@dataclass(frozen=True)
class DocumentDetail:
    """A document's current version. `group` lists it and its reprints, earliest first; offsets point into `text`."""

    doc_id: str
    content_hash: str
    version: int
    kind: str
    site: str
    source: str | None
    author: str | None
    url: str
    canonical_url: str
    parent_url: str | None
    title: str
    text: str
    language: str
    time: datetime
    published_at: datetime | None
    first_seen: datetime
    fetched_at: datetime
    group_id: str
    cleaning_version: str
    segments: tuple[TimedLine, ...]
    mentions: tuple[MentionSpan, ...]
    analysis: Analysis | None
    verdicts: tuple[CompanyVerdict, ...]
    recordings: tuple[Recording, ...]
    group: tuple[GroupMember, ...]


_OF_OTHER_TABLES = {"time", "segments", "mentions", "analysis", "verdicts", "recordings", "group"}
_COLUMNS = tuple(name for name in DocumentDetail.__dataclass_fields__ if name not in _OF_OTHER_TABLES)


async def read_document(connection: AsyncConnection, team_id: int, doc_id: str) -> DocumentDetail | None:
    """The document, if it mentions a company of the team. Six statements, however long it is."""
    columns = (getattr(Document, name) for name in _COLUMNS)
    statement = select(*columns, Document.segments, time_of(Document).label("time")).where(
        Document.doc_id == doc_id, visible(Document, team_id)
    )
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        return None
    values: dict[str, Any] = dict(row)
    segments = tuple(TimedLine(**segment) for segment in values.pop("segments"))
    return DocumentDetail(
        **values,
        segments=segments,
        mentions=await _mentions(connection, team_id, doc_id, values["content_hash"]),
        analysis=await analysis_of(connection, doc_id),
        verdicts=await verdicts_of(connection, team_id, doc_id),
        recordings=await recordings_of(connection, doc_id),
        group=await _group(connection, team_id, values["group_id"]),
    )


async def _mentions(
    connection: AsyncConnection, team_id: int, doc_id: str, content_hash: str
) -> tuple[MentionSpan, ...]:
    statement = (
        select(Company.id, Company.name, MentionRow.spans)
        .join(Company, Company.id == MentionRow.company_id)
        .where(
            Company.team_id == team_id,
            MentionRow.doc_id == doc_id,
            # Offsets of an earlier version would mark other words.
            MentionRow.content_hash == content_hash,
        )
    )
    found = [
        MentionSpan(company_id, company, span["field"], span["start"], span["end"], span["name"])
        for company_id, company, spans in await connection.execute(statement)
        for span in spans
    ]
    return tuple(sorted(found, key=lambda span: (span.field != "title", span.start, span.company_id)))


async def _group(connection: AsyncConnection, team_id: int, group_id: str) -> tuple[GroupMember, ...]:
    member = aliased(Document)
    statement = (
        select(member.doc_id, member.title, member.site, member.source, time_of(member).label("time"))
        .where(and_(member.group_id == group_id, visible(member, team_id)))
        .order_by(member.first_seen, member.doc_id)
    )
    rows = (await connection.execute(statement)).all()
    return tuple(GroupMember(*row, is_first=row.doc_id == group_id) for row in rows)
