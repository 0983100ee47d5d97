"""Recordings and what was said in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import Coverage, DocumentMedia, Media, TranscriptRow, Upload


@dataclass(frozen=True)
class SpokenLine:
    """Words and the seconds at which they were said."""

    start: float
    end: float
    text: str


def _lines(segments: Iterable[dict[str, Any]]) -> tuple[SpokenLine, ...]:
    return tuple(SpokenLine(line["start"], line["end"], line["text"]) for line in segments)


@dataclass(frozen=True)
class Recording:
    """A document's recording; without lines until it has been transcribed."""

    sha256: str
    content_type: str
    bytes: int
    url: str
    duration_s: float | None
    model: str | None
    lines: tuple[SpokenLine, ...]


@dataclass(frozen=True)
class MediaObject:
    """Where a recording's bytes are."""

    sha256: str
    s3_key: str
    content_type: str
    bytes: int


def is_of_team(team_id: int) -> ColumnElement[bool]:
    """Whether the team has uploaded a recording, or may see a document that carries it."""
    carried = exists().where(
        DocumentMedia.sha256 == Media.sha256, Coverage.doc_id == DocumentMedia.doc_id, Coverage.team_id == team_id
    )
    uploaded = exists().where(Upload.sha256 == Media.sha256, Upload.team_id == team_id)
    return or_(uploaded.correlate(Media), carried.correlate(Media))


async def find_media(connection: AsyncConnection, team_id: int, sha256: str) -> MediaObject | None:
    """A recording of the team's."""
    columns = (Media.sha256, Media.s3_key, Media.content_type, Media.bytes)
    row = (await connection.execute(select(*columns).where(Media.sha256 == sha256, is_of_team(team_id)))).first()
    return MediaObject(*row) if row else None


async def recordings_of(connection: AsyncConnection, doc_id: str) -> tuple[Recording, ...]:
    """A document's recordings, each with its latest transcript."""
    statement = (
        select(
            Media.sha256,
            Media.content_type,
            Media.bytes,
            DocumentMedia.url,
            TranscriptRow.duration_s,
            TranscriptRow.model,
            TranscriptRow.segments,
        )
        .join(DocumentMedia, DocumentMedia.sha256 == Media.sha256)
        .outerjoin(TranscriptRow, TranscriptRow.media_sha256 == Media.sha256)
        .where(DocumentMedia.doc_id == doc_id)
        .order_by(Media.sha256, TranscriptRow.created_at.desc())
        .distinct(Media.sha256)
    )
    return tuple(
        Recording(sha256, kind, size, url, duration_s, model, _lines(segments or ()))
        for sha256, kind, size, url, duration_s, model, segments in await connection.execute(statement)
    )
