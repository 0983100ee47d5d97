"""One document with all that is known of it, for the reading view."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from gateway.queries.media import Recording, recordings_of
from gateway.queries.selection import time_of, visible
from gateway.queries.verdicts import (
    Analysis,
    CompanyVerdict,
    analysis_of,
    verdicts_of,
)
from yuqing.database.models import Company, Document, MentionRow
from yuqing.text.reprint import Changes, Original


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
class Image:
    """A picture of the article: its address at its site, and what the page says that it shows."""

    url: str
    alt: str


@dataclass(frozen=True)
class GroupMember:
    """A document of the same reprint group, and what it changed in the group's first document (None: it is the first).

    `source_line`: it names a source that the first document does not name.
    """

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime
    is_first: bool
    changes: Changes | None
    source_line: bool


@dataclass(frozen=True)
class DocumentDetail:
    """A document's current version; offsets point into `text`.

    `group` lists it and its reprints, earliest first: the first GROUP_SHOWN and itself, of `group_total` in all.
    """

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
    images: tuple[Image, ...]
    segments: tuple[TimedLine, ...]
    mentions: tuple[MentionSpan, ...]
    analysis: Analysis | None
    verdicts: tuple[CompanyVerdict, ...]
    recordings: tuple[Recording, ...]
    group: tuple[GroupMember, ...]
    group_total: int


# Each member shown is compared with the first, a few milliseconds each; a notice that everybody prints has thousands.
GROUP_SHOWN = 200
_READ_APART = {"time", "images", "segments", "mentions", "analysis", "verdicts", "recordings", "group", "group_total"}
_COLUMNS = tuple(name for name in DocumentDetail.__dataclass_fields__ if name not in _READ_APART)


async def read_document(connection: AsyncConnection, team_id: int, doc_id: str) -> DocumentDetail | None:
    """The document, if it mentions a company of the team. Six statements, however long it is."""
    columns = (getattr(Document, name) for name in _COLUMNS)
    statement = select(*columns, Document.images, Document.segments, time_of(Document).label("time")).where(
        Document.doc_id == doc_id, visible(Document, team_id)
    )
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        return None
    values: dict[str, Any] = dict(row)
    group, group_total = await group_of(connection, team_id, doc_id, values["group_id"])
    images = tuple(Image(**image) for image in values.pop("images"))
    segments = tuple(TimedLine(**segment) for segment in values.pop("segments"))
    return DocumentDetail(
        **values,
        images=images,
        segments=segments,
        mentions=await _mentions(connection, team_id, doc_id, values["content_hash"]),
        analysis=await analysis_of(connection, doc_id),
        verdicts=await verdicts_of(connection, team_id, doc_id),
        recordings=await recordings_of(connection, doc_id),
        group=group,
        group_total=group_total,
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


async def group_of(
    connection: AsyncConnection, team_id: int, doc_id: str, group_id: str
) -> tuple[tuple[GroupMember, ...], int]:
    """The group's members that the team may see, at most GROUP_SHOWN and this one, and how many there are. One statement."""
    listed, member = aliased(Document), aliased(Document)
    seen, order = visible(listed, team_id), (time_of(listed), listed.doc_id)
    places = (
        select(
            listed.doc_id,
            seen.label("seen"),
            func.row_number().over(order_by=order).label("place"),
            func.count().filter(seen).over().label("total"),
        )
        # The document that made the group may be the earliest, and what the others are compared with, unseen by this team.
        .where(listed.group_id == group_id, or_(seen, listed.doc_id == group_id))
        .subquery()
    )
    columns = (member.doc_id, member.title, member.site, member.source, time_of(member).label("time"))
    statement = (
        select(*columns, member.text, places.c.seen, places.c.total)
        .join(places, places.c.doc_id == member.doc_id)
        .where(or_(places.c.place <= GROUP_SHOWN, member.doc_id.in_((group_id, doc_id))))
        .order_by(places.c.place)
    )
    rows = (await connection.execute(statement)).all()
    return await asyncio.to_thread(_members, rows), rows[0].total if rows else 0


def _members(rows: Sequence[Any]) -> tuple[GroupMember, ...]:
    """The visible ones of a group's rows, which come in order of time."""
    if not rows:
        return ()
    first = rows[0]
    original = Original(first.title, first.text)
    members = []
    for row in rows:
        is_first = row is first
        changes = None if is_first else original.changes(row.title, row.text)
        line = bool(row.source) and row.source != first.source
        if row.seen:
            known = (row.doc_id, row.title, row.site, row.source, row.time)
            members.append(GroupMember(*known, is_first=is_first, changes=changes, source_line=line))
    return tuple(members)


@dataclass(frozen=True)
class Wording:
    """A document's title and text, to be compared with another's."""

    doc_id: str
    title: str
    text: str


async def wordings(connection: AsyncConnection, team_id: int, doc_ids: Sequence[str]) -> dict[str, Wording]:
    """Of these documents those that mention a company of the team. One statement."""
    statement = select(Document.doc_id, Document.title, Document.text).where(
        Document.doc_id.in_(doc_ids), visible(Document, team_id)
    )
    return {row.doc_id: Wording(*row) for row in await connection.execute(statement)}
