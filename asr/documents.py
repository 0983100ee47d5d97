"""Transcripts as rows, and as raw documents that pass cleaning like any article.

Everything is named by the recording, the options and the page, so that a job that runs twice writes the same things once.
"""

import gzip
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert
from ulid import ULID

from yuqing.contracts import MediaReference, RawDocument, RemovedSegment, Segment, Transcript
from yuqing.database.models import Document, DocumentMedia, Media, TranscriptRow
from yuqing.identity import derived_id
from yuqing.text.mask import mask

SPIDER = "asr"
_SENTENCE = re.compile(r"[^。！？]+[。！？”」』）]*|[。！？]+")


@dataclass(frozen=True)
class Recording:
    """A media object of the store, and when it became known."""

    sha256: str
    s3_key: str
    content_type: str
    bytes: int
    created_at: datetime


@dataclass(frozen=True)
class Page:
    """A document that carries the recording; `media_url` is the recording's address on it."""

    doc_id: str
    site: str
    url: str
    canonical_url: str
    title: str
    published_at: datetime | None
    first_seen: datetime
    media_url: str


def find_recording(connection: Connection, sha256: str) -> Recording | None:
    """The media row."""
    columns = (Media.sha256, Media.s3_key, Media.content_type, Media.bytes, Media.created_at)
    row = connection.execute(select(*columns).where(Media.sha256 == sha256)).first()
    return Recording(*row) if row else None


def pages_of(connection: Connection, sha256: str) -> list[Page]:
    """The pages that carry the recording, first seen first; its own transcripts carry it too and are left out."""
    statement = (
        select(
            Document.doc_id,
            Document.site,
            Document.url,
            Document.canonical_url,
            Document.title,
            Document.published_at,
            Document.first_seen,
            DocumentMedia.url,
        )
        .join(DocumentMedia, DocumentMedia.doc_id == Document.doc_id)
        .where(DocumentMedia.sha256 == sha256, Document.kind != "transcript")
        .order_by(Document.first_seen, Document.doc_id)
    )
    return [Page(*row) for row in connection.execute(statement)]


def find_transcript(connection: Connection, sha256: str, options_hash: str) -> Transcript | None:
    """What was written down before with the same options."""
    row = connection.execute(
        select(TranscriptRow.__table__).where(
            TranscriptRow.media_sha256 == sha256, TranscriptRow.options_hash == options_hash
        )
    ).first()
    if row is None:
        return None
    return Transcript(
        media_sha256=row.media_sha256,
        model=row.model,
        options_hash=row.options_hash,
        language=row.language,
        duration_s=row.duration_s,
        text=row.text,
        segments=tuple(Segment(**segment) for segment in row.segments),
        removed=tuple(RemovedSegment(**segment) for segment in row.removed),
    )


def add_transcript(connection: Connection, transcript: Transcript, raw_key: str) -> None:
    """Add the row; one that another worker added first stays. `raw_key` is empty when nothing was said.

    Numbers and names of private persons are masked: the row is shown beside the recording, without passing the cleaning.
    """
    values = {**_masked(transcript).model_dump(mode="json"), "raw_key": raw_key}
    connection.execute(insert(TranscriptRow).values(values).on_conflict_do_nothing())


def _masked(transcript: Transcript) -> Transcript:
    """The transcript with personal data hidden; a segment that has some goes without its words."""
    changes = {
        "text": mask(transcript.text).text,
        "segments": tuple(map(_masked_segment, transcript.segments)),
        "removed": tuple(item.model_copy(update={"text": mask(item.text).text}) for item in transcript.removed),
    }
    return transcript.model_copy(update=changes)


def _masked_segment(segment: Segment) -> Segment:
    heard = "".join(word.text for word in segment.words)
    text = mask(segment.text).text
    words = segment.words if text == segment.text and mask(heard).text == heard else ()
    return segment.model_copy(update={"text": text, "words": words})


def batch_key(page: Page, transcript: Transcript) -> str:
    """raw/<site>/<YYYY>/<MM>/<DD>/<ulid>.jsonl.gz, the same every time for this page, recording and options.

    The day and the ULID's time are those at which the page was first seen; the ULID's random part is derived from the three.
    """
    seen = page.first_seen.astimezone(UTC)
    random = bytes.fromhex(derived_id("transcript", page.doc_id, transcript.media_sha256, transcript.options_hash))[:10]
    milliseconds = int(seen.timestamp() * 1000)
    ulid = ULID.from_bytes(milliseconds.to_bytes(6, "big") + random)
    return f"raw/{page.site}/{seen:%Y/%m/%d}/{ulid}.jsonl.gz"


def raw_document(page: Page, recording: Recording, transcript: Transcript) -> RawDocument:
    """The transcript as a document of the page's address, which its recording tells apart from the page."""
    return RawDocument(
        url=page.media_url,
        canonical_url=page.canonical_url,
        site=page.site,
        spider=SPIDER,
        kind="transcript",
        # The page's time, not the present: a retried job must write the same bytes.
        fetched_at=page.first_seen,
        http_status=200,
        content_type="text/plain",
        encoding="utf-8",
        body=transcript.text,
        title=page.title,
        published_at=page.published_at,
        media=(
            MediaReference(
                url=page.media_url,
                sha256=recording.sha256,
                s3_key=recording.s3_key,
                content_type=recording.content_type,
                bytes=recording.bytes,
            ),
        ),
        segments=tuple(part for segment in transcript.segments for part in sentences_of(segment)),
        parent_url=page.url,
        run_id=f"{SPIDER}-{transcript.options_hash}",
    )


def sentences_of(segment: Segment) -> tuple[Segment, ...]:
    """The segment's sentences, each with the seconds of its own words, so that a quote leads to where it begins.

    Whole where it is one sentence, or where its words do not tell (a number was written otherwise). The words stay in the table: an
    hour of speech has ten thousand, and cleaning asks for none.
    """
    whole = segment.model_copy(update={"words": ()})
    times = [(word.start, word.end) for word in segment.words for character in word.text if character.isalnum()]
    if len(times) != sum(map(str.isalnum, segment.text)):
        return (whole,)
    parts: list[Segment] = []
    done = 0
    for match in _SENTENCE.finditer(segment.text):
        count = sum(map(str.isalnum, match[0]))
        if count:
            said = times[done : done + count]
            parts.append(Segment(start=said[0][0], end=said[-1][1], text=match[0].strip()))
        done += count
    return tuple(parts) if len(parts) > 1 else (whole,)


def batch_bytes(document: RawDocument) -> bytes:
    """A batch of this one document; equal documents give equal bytes."""
    return gzip.compress(document.model_dump_json().encode() + b"\n", mtime=0)
