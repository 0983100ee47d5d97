"""Recordings that teams upload, and how far the transcription of a recording is: by tables and the queue, as stages meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, column, func, literal, select, table, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.media import MediaObject, is_of_team
from yuqing.contracts import RemovedSegment, Segment, Transcript
from yuqing.database.models import Media, TranscriptRow, Upload
from yuqing.jobs import TRANSCRIBE

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: frozenset[Status] = frozenset({"done", "failed", "cancelled"})

_JOBS = table("procrastinate_jobs", *map(column, ("id", "queue_name", "queueing_lock", "status")))


@dataclass(frozen=True)
class Transcription:
    """A recording and how far its transcription is; `name` and `uploaded_at` where the team has uploaded it."""

    sha256: str
    content_type: str
    bytes: int
    name: str | None
    uploaded_at: datetime | None
    status: Status
    duration_s: float | None
    language: str | None
    model: str | None


@dataclass(frozen=True)
class TranscriptionPage:
    """Newest first; `next_before` is None on the last page."""

    items: tuple[Transcription, ...]
    next_before: int | None


def transcribe_lock(sha256: str) -> str:
    """The queueing lock of a recording's job, whoever defers it."""
    return f"{TRANSCRIBE}:{sha256}"


def _latest_transcript() -> Any:
    row = TranscriptRow
    columns = (row.options_hash, row.duration_s, row.language, row.model)
    latest = select(*columns).where(row.media_sha256 == Media.sha256).order_by(row.created_at.desc()).limit(1)
    return latest.lateral("transcript")


def _latest_job() -> Any:
    lock = literal(transcribe_lock("")) + Media.sha256
    of_recording = and_(_JOBS.c.queue_name == TRANSCRIBE, _JOBS.c.queueing_lock == lock)
    status = cast(_JOBS.c.status, String).label("status")
    return select(status).where(of_recording).order_by(_JOBS.c.id.desc()).limit(1).lateral("job")


def _status(transcript: Any, job: Any) -> ColumnElement[Any]:
    """A job that ended well is gone, and its transcript is there; one that is gone without a transcript has failed."""
    return case(
        (transcript.c.options_hash.is_not(None), "done"),
        (job.c.status == "todo", "queued"),
        (job.c.status == "doing", "running"),
        (job.c.status.in_(("cancelled", "aborted")), "cancelled"),
        else_="failed",
    )


def _transcriptions(team_id: int, *more: Any) -> Select[Any]:
    transcript, job = _latest_transcript(), _latest_job()
    return (
        select(
            Media.sha256,
            Media.content_type,
            Media.bytes,
            Upload.name,
            Upload.created_at,
            _status(transcript, job),
            transcript.c.duration_s,
            transcript.c.language,
            transcript.c.model,
            *more,
        )
        .select_from(Media)
        .outerjoin(Upload, and_(Upload.sha256 == Media.sha256, Upload.team_id == team_id))
        .outerjoin(transcript, true())
        .outerjoin(job, true())
    )


async def find_transcription(connection: AsyncConnection, team_id: int, sha256: str) -> Transcription | None:
    """How far a recording is that the team uploaded, or that stands in a document which it may see."""
    statement = _transcriptions(team_id).where(Media.sha256 == sha256, is_of_team(team_id))
    row = (await connection.execute(statement)).first()
    return Transcription(*row) if row else None


async def list_uploads(
    connection: AsyncConnection, team_id: int, *, limit: int, before: int | None
) -> TranscriptionPage:
    """The team's uploads; one statement."""
    statement = _transcriptions(team_id, Upload.id).where(Upload.id.is_not(None)).order_by(Upload.id.desc())
    if before is not None:
        statement = statement.where(Upload.id < before)
    rows = (await connection.execute(statement.limit(limit + 1))).all()
    items = tuple(Transcription(*row[:-1]) for row in rows[:limit])
    return TranscriptionPage(items, rows[limit - 1].id if len(rows) > limit else None)


async def status_of(connection: AsyncConnection, sha256: str) -> Status:
    """How far a recording is; asked again and again by those who wait."""
    transcript, job = _latest_transcript(), _latest_job()
    statement = select(_status(transcript, job)).select_from(Media)
    joined = statement.outerjoin(transcript, true()).outerjoin(job, true()).where(Media.sha256 == sha256)
    status: Status = (await connection.execute(joined)).scalar_one()
    return status


async def progress_of(connection: AsyncConnection, recordings: Sequence[str]) -> dict[str, tuple[Status, datetime]]:
    """How far each of these recordings is, by its hash, and since when it is known; one statement."""
    transcript, job = _latest_transcript(), _latest_job()
    statement = select(Media.sha256, _status(transcript, job), Media.created_at).select_from(Media)
    joined = statement.outerjoin(transcript, true()).outerjoin(job, true()).where(Media.sha256.in_(recordings))
    return {sha256: (status, known) for sha256, status, known in await connection.execute(joined)}


async def read_transcript(connection: AsyncConnection, sha256: str) -> Transcript | None:
    """The latest transcript of a recording, which the caller may see; None: there is none."""
    row = TranscriptRow
    statement = select(row.__table__).where(row.media_sha256 == sha256).order_by(row.created_at.desc()).limit(1)
    found = (await connection.execute(statement)).first()
    if found is None:
        return None
    return Transcript(
        media_sha256=found.media_sha256,
        model=found.model,
        options_hash=found.options_hash,
        language=found.language,
        duration_s=found.duration_s,
        text=found.text,
        segments=tuple(Segment(**segment) for segment in found.segments),
        removed=tuple(RemovedSegment(**segment) for segment in found.removed),
    )


async def stored_at(connection: AsyncConnection, sha256: str) -> datetime:
    """Since when a recording is known; its day is in the name of what the worker could not use."""
    time: datetime = (await connection.execute(select(Media.created_at).where(Media.sha256 == sha256))).scalar_one()
    return time


async def known_key(connection: AsyncConnection, sha256: str) -> str | None:
    """Under which key a recording with this content is stored, whoever brought it."""
    key: str | None = (await connection.execute(select(Media.s3_key).where(Media.sha256 == sha256))).scalar()
    return key


async def add_upload(connection: AsyncConnection, team_id: int, recording: MediaObject, name: str) -> None:
    """The recording is the team's from now on. Sent again, it gets the new name and time."""
    values = {name: getattr(recording, name) for name in MediaObject.__dataclass_fields__}
    await connection.execute(insert(Media).values(values).on_conflict_do_nothing())
    new = insert(Upload).values(team_id=team_id, sha256=recording.sha256, name=name)
    changed = {"name": new.excluded.name, "created_at": func.now()}
    await connection.execute(new.on_conflict_do_update(index_elements=["team_id", "sha256"], set_=changed))
