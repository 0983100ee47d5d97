"""Names and bytes that a second run must repeat."""

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, text
from ulid import ULID

from asr.documents import Page, Recording, add_transcript, batch_bytes, batch_key, find_transcript, raw_document
from tests.yuqing.test_subtitles import TRANSCRIPT
from yuqing.contracts import RemovedSegment, Segment, Word, read_raw_document
from yuqing.identity import doc_id

SEEN = datetime(2026, 11, 22, 1, 30, tzinfo=timezone(timedelta(hours=8)))  # the day before in UTC
PAGE = Page(
    doc_id("page", "https://n.example/a"),
    "daily",
    "https://n.example/a?utm_source=x",
    "https://n.example/a",
    "早间播报",
    None,
    SEEN,
    "https://n.example/a.mp3",
)
RECORDING = Recording("a" * 64, f"media/aa/{'a' * 64}.mp3", "audio/mpeg", 1234, SEEN)


def test_key_is_derived_from_page_recording_and_options() -> None:
    key = batch_key(PAGE, TRANSCRIPT)
    assert key == batch_key(PAGE, TRANSCRIPT.model_copy(update={"text": "另一段"}))
    folder, name = key.rsplit("/", 1)
    assert folder == "raw/daily/2026/11/21"
    assert ULID.from_str(name.removesuffix(".jsonl.gz")).datetime == SEEN
    others = [
        batch_key(replace(PAGE, doc_id=doc_id("page", "https://n.example/b")), TRANSCRIPT),
        batch_key(PAGE, TRANSCRIPT.model_copy(update={"media_sha256": "c" * 64})),
        batch_key(PAGE, TRANSCRIPT.model_copy(update={"options_hash": "c" * 32})),
    ]
    assert len({key, *others}) == 4


def test_batch_is_a_raw_document_of_the_page() -> None:
    data = batch_bytes(raw_document(PAGE, RECORDING, TRANSCRIPT))
    assert data == batch_bytes(raw_document(PAGE, RECORDING, TRANSCRIPT))
    (line,) = gzip.decompress(data).splitlines()
    document = read_raw_document(line)
    assert document.kind == "transcript"
    assert document.canonical_url == PAGE.canonical_url
    assert document.parent_url == PAGE.url
    assert document.url == PAGE.media_url
    assert document.body == TRANSCRIPT.text
    assert document.segments == TRANSCRIPT.segments
    assert document.media[0].sha256 == RECORDING.sha256
    assert document.fetched_at == SEEN.astimezone(UTC)
    assert doc_id(document.kind, document.canonical_url, document.media[0].sha256) != PAGE.doc_id


@pytest.mark.service
def test_the_row_shows_no_numbers_of_private_persons(database: Engine) -> None:
    said = "请拨打13812345678，或者400-820-8820。"
    transcript = TRANSCRIPT.model_copy(
        update={
            "text": said,
            "segments": (
                Segment(start=0, end=4, text=said, words=(Word(start=0, end=4, text=said, probability=0.9),)),
                Segment(start=4, end=5, text="谢谢。", words=(Word(start=4, end=5, text="谢谢", probability=0.9),)),
            ),
            "removed": (RemovedSegment(start=4, end=5, text="13812345678", reason="loop"),),
        }
    )
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO media (sha256, s3_key, content_type, bytes) VALUES (:sha, 'k', 'audio/mpeg', 1)"),
            {"sha": transcript.media_sha256},
        )
        add_transcript(connection, transcript, "")
        found = find_transcript(connection, transcript.media_sha256, transcript.options_hash)
    assert found is not None
    assert found.text == found.segments[0].text == "请拨打138****5678，或者400-820-8820。"
    assert (found.removed[0].text, found.segments[0].end) == ("138****5678", 4)
    assert [[word.text for word in segment.words] for segment in found.segments] == [[], ["谢谢"]]
