"""The worker on real S3, PostgreSQL and queue: killed, repeated, given bad recordings, cut off from its services."""

import asyncio
import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine as SQLEngine
from sqlalchemy import insert, select, text

from asr.audio import SAMPLE_RATE, AudioError, Window, decode
from asr.chunks import Chunk, StoredChunks
from asr.documents import batch_key, find_transcript, pages_of
from asr.phantoms import Heard
from asr.transcriber import Options, Transcriber
from asr.worker import Worker, WrongRecording, work
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.asr.media import silence, tone, write
from yuqing import quarantine
from yuqing.contracts import Segment, Word, read_raw_document
from yuqing.database.models import Document, DocumentMedia, Media, ReprintGroup, TranscriptRow
from yuqing.identity import content_hash, doc_id
from yuqing.jobs import TRANSCRIBE, Job, defer_in_transaction
from yuqing.objects import ObjectStore, ObjectStoreAway
from yuqing.settings import Settings

pytestmark = pytest.mark.service

SEEN = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
SPEECH = (FOLDER / RECORDINGS[0].file).read_bytes()


def add_page(
    database: SQLEngine, store: ObjectStore, data: bytes, url: str = "https://n.example/a", **changes: str
) -> str:
    """A cleaned page with a recording that waits for its transcript; returns the recording's sha256."""
    sha256 = hashlib.sha256(data).hexdigest()
    key = f"media/{sha256[:2]}/{sha256}.mp3"
    store.ensure_bucket()
    store.put(key, data)
    document = {
        "doc_id": doc_id("page", url),
        "content_hash": content_hash("正文"),
        "kind": "page",
        "site": "daily",
        "url": url,
        "canonical_url": url,
        "title": "早间播报",
        "text": "正文",
        "first_seen": SEEN,
        "fetched_at": SEEN,
        "language": "zh",
        "group_id": doc_id("page", url),
        "batch_key": "raw/daily/2026/11/22/A.jsonl.gz",
        "cleaning_version": "1",
        "search": "",
        **changes,
    }
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO media VALUES (:sha256, :key, 'audio/mpeg', :size) ON CONFLICT DO NOTHING"),
            {"sha256": sha256, "key": key, "size": len(data)},
        )
        connection.execute(insert(ReprintGroup).values(group_id=document["group_id"], first_seen=SEEN))
        connection.execute(insert(Document).values(document))
        connection.execute(insert(DocumentMedia).values(doc_id=document["doc_id"], sha256=sha256, url=f"{url}.mp3"))
    return sha256


def defer(database: SQLEngine, sha256: str) -> None:
    with database.begin() as connection:
        job = Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": sha256}, f"{TRANSCRIBE}:{sha256}")
        assert defer_in_transaction(connection, [job]) == 1


def statuses(database: SQLEngine) -> list[str]:
    with database.begin() as connection:
        return list(connection.execute(text("SELECT status FROM procrastinate_jobs ORDER BY id")).scalars())


def wait_for(database: SQLEngine, count: str, wanted: int, workers: list[subprocess.Popen[str]]) -> None:
    """Until the statement counts so many; the workers live as long."""
    deadline = time.monotonic() + 300
    while True:
        with database.begin() as connection:
            found = connection.execute(text(count)).scalar_one()
        if found == wanted:
            return
        assert [worker.poll() for worker in workers] == [None] * len(workers)
        assert time.monotonic() < deadline, f"{found} instead of {wanted}; jobs: {statuses(database)}"
        time.sleep(0.1)


def raw_objects(store: ObjectStore) -> dict[str, bytes]:
    return {item.key: store.get(item.key) for item in store.list("raw/")}


@pytest.fixture
def make_worker(
    settings: Settings, store: ObjectStore, database: SQLEngine, transcriber: Transcriber
) -> Callable[[], Worker]:
    return lambda: Worker(settings, store, database, transcriber)


def test_killed_worker_leaves_nothing_half_done(
    environment: dict[str, str], database: SQLEngine, store: ObjectStore, settings: Settings
) -> None:
    sha256 = add_page(database, store, SPEECH)
    defer(database, sha256)
    command = [sys.executable, "-m", "yuqing", "transcribe", "--json"]
    everything = {**os.environ, **environment}
    first = subprocess.Popen(command, env=everything, stdout=subprocess.DEVNULL)
    while statuses(database) != ["doing"]:
        assert first.poll() is None, "the worker ended before it took the job"
        time.sleep(0.05)
    first.kill()
    first.wait()
    with database.begin() as connection:
        assert connection.execute(select(TranscriptRow.media_sha256)).all() == [], "killed before it was done"
    assert statuses(database) == ["doing"], "nobody has put the job back yet"

    second = subprocess.run(command, env=everything, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(second.stdout) == {"transcribed": 1, "failed": 0}
    assert statuses(database) == []
    with database.begin() as connection:
        (row,) = connection.execute(select(TranscriptRow.__table__)).all()
        (page,) = pages_of(connection, sha256)
        transcript = find_transcript(connection, sha256, Options.from_settings(settings.asr).digest)
    assert transcript is not None
    assert RECORDINGS[0].company in row.text
    assert row.raw_key == batch_key(page, transcript), "the name is derived, not made up"
    ((key, data),) = raw_objects(store).items()
    assert key == row.raw_key
    document = read_raw_document(gzip.decompress(data))
    assert (document.body, document.parent_url) == (row.text, page.url)
    assert document.media[0].sha256 == sha256

    third = subprocess.run(command, env=everything, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(third.stdout) == {"transcribed": 0, "failed": 0}


@pytest.mark.slow
def test_a_long_recording_goes_on_where_a_killed_worker_was(
    environment: dict[str, str],
    database: SQLEngine,
    store: ObjectStore,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speech = np.concatenate([np.concatenate(list(decode(FOLDER / item.file))) for item in RECORDINGS])
    sound = write(tmp_path / "long.mp3", speech, codec="libmp3lame")
    sha256 = add_page(database, store, sound.read_bytes())
    defer(database, sha256)
    quick = {"YUQING_ASR__WINDOW_S": "30", "YUQING_ASR__BEAM_SIZE": "1"}
    command = [sys.executable, "-m", "yuqing", "transcribe", "--json"]
    first = subprocess.Popen(command, env={**os.environ, **environment, **quick}, stdout=subprocess.DEVNULL)
    while not list(store.list("partial/asr/")):
        assert first.poll() is None, "the worker ended before it was killed"
        time.sleep(0.05)
    first.kill()
    first.wait()
    done = [gzip.decompress(store.get(item.key)) for item in store.list("partial/asr/")]
    heard_before = max(json.loads(chunk)["end_s"] for chunk in done)

    changed = {"window_s": 30.0, "beam_size": 1}
    settings = settings.model_copy(update={"asr": settings.asr.model_copy(update=changed)})
    transcriber = Transcriber(settings)
    listened, listen = list[float](), transcriber._window

    def window(given: Window, *rest: Any) -> Chunk:
        listened.append(given.end_s - given.start_s)
        return listen(given, *rest)

    monkeypatch.setattr(transcriber, "_window", window)
    asyncio.run(work(Worker(settings, store, database, transcriber), follow=False))
    seconds = len(speech) / SAMPLE_RATE
    assert sum(listened) == pytest.approx(seconds - heard_before, abs=1), "nothing is listened to twice"
    assert list(store.list("partial/asr/")) == [], "what is done leaves nothing behind"
    with database.begin() as connection:
        found = find_transcript(connection, sha256, transcriber.options.digest)
    listened.clear()
    assert found == transcriber.transcribe(sound), "as if it had never been killed"
    assert len(listened) > len(done)
    assert statuses(database) == []


def test_finished_windows_are_found_by_the_next_worker(store: ObjectStore) -> None:
    store.ensure_bucket()
    said = Segment(start=1.5, end=4.25, text="早上好", words=(Word(start=1.5, end=2, text="早", probability=0.9),))
    chunk = Chunk(0.0, 21.9, (Heard(said, 2.5, 0.1, -0.3),), ("zh",))
    chunks = StoredChunks(store, "a" * 64, "b" * 32)
    assert chunks.find(0.0) is None
    chunks.keep(chunk)
    chunks.keep(Chunk(0.0, 9.0, (), ()))  # another worker, later
    assert StoredChunks(store, "a" * 64, "b" * 32).find(0.0) == chunk
    assert chunks.find(21.9) is None
    assert StoredChunks(store, "a" * 64, "c" * 32).find(0.0) is None, "other options"
    chunks.remove()
    assert list(store.list("partial/")) == []


def test_two_workers_on_one_recording_write_it_once(
    make_worker: Callable[[], Worker], database: SQLEngine, store: ObjectStore, clip: Path
) -> None:
    sha256 = add_page(database, store, clip.read_bytes())
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda _: make_worker().transcribe(sha256), range(2))
    assert first == second
    assert sorted(raw_objects(store)) == first
    with database.begin() as connection:
        assert len(connection.execute(select(TranscriptRow.media_sha256)).all()) == 1


def test_processes_side_by_side_share_the_queue(
    environment: dict[str, str], database: SQLEngine, store: ObjectStore, tmp_path: Path
) -> None:
    everything = {**os.environ, **environment, "YUQING_ASR__BEAM_SIZE": "1", "YUQING_ASR__THREADS": "1"}
    everything["YUQING_JOBS__STALLED_AFTER_S"] = "60"  # a machine under load is no dead worker
    command = [sys.executable, "-m", "yuqing", "transcribe", "--follow", "--json"]
    workers = [subprocess.Popen(command, env=everything, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        wait_for(database, "SELECT count(*) FROM procrastinate_workers", 2, workers)
        greeting = np.concatenate(list(decode(FOLDER / RECORDINGS[0].file)))[: round(3.4 * SAMPLE_RATE)]
        stored = []
        for number, samples in enumerate((greeting, silence(3), silence(4))):
            sound = write(tmp_path / f"{number}.mp3", samples, codec="libmp3lame").read_bytes()
            stored.append(add_page(database, store, sound, f"https://n.example/{number}"))
        # Two jobs for the first recording, which are taken at once; then one for each of the others.
        jobs = [Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": sha256}) for sha256 in (stored[0], *stored)]
        with database.begin() as connection:
            assert defer_in_transaction(connection, jobs) == 4
        wait_for(database, "SELECT count(*) FROM procrastinate_jobs", 0, workers)
        for worker in workers:
            worker.terminate()
        counts = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert sum(each["transcribed"] for each in counts) == 4
    assert all(each["transcribed"] and not each["failed"] for each in counts), "both had their share"
    with database.begin() as connection:
        rows = connection.execute(select(TranscriptRow.media_sha256, TranscriptRow.raw_key)).all()
    assert sorted(row.media_sha256 for row in rows) == sorted(stored)
    assert list(raw_objects(store)) == [row.raw_key for row in rows if row.raw_key], (
        "one document, of the one with speech"
    )
    assert len(raw_objects(store)) == 1
    assert list(store.list("quarantine/")) == []


def test_recordings_over_the_limits_are_quarantined(
    settings: Settings, database: SQLEngine, store: ObjectStore, tmp_path: Path
) -> None:
    strict = settings.model_copy(
        update={"asr": settings.asr.model_copy(update={"limit_s": 60, "limit_bytes": 400_000})}
    )
    long = add_page(
        database,
        store,
        write(tmp_path / "a.mp3", silence(90), codec="libmp3lame").read_bytes(),
        "https://n.example/long",
    )
    large = add_page(
        database,
        store,
        write(tmp_path / "b.wav", silence(20), codec="pcm_s16le").read_bytes(),
        "https://n.example/large",
    )
    worker = Worker(strict, store, database, Transcriber(strict))
    for sha256 in (long, large):
        with pytest.raises(AudioError) as caught:
            worker.run_job(sha256, 0)
        (item,) = [item for item in store.list("quarantine/asr/") if sha256 in item.key]
        assert quarantine.read(store, item.key)[0]["reason"] == caught.value.message


def test_run_twice_writes_once_and_mends_what_is_missing(
    make_worker: Callable[[], Worker], database: SQLEngine, store: ObjectStore, clip: Path
) -> None:
    sha256 = add_page(database, store, clip.read_bytes())
    worker = make_worker()
    (key,) = worker.transcribe(sha256)
    before = raw_objects(store)
    worker.store.delete(f"media/{sha256[:2]}/{sha256}.mp3")  # so that listening again would fail
    assert worker.transcribe(sha256) == [key]
    assert raw_objects(store) == before
    store.delete(key)  # as if it had been killed between the row and the batch
    assert worker.transcribe(sha256) == [key]
    assert raw_objects(store) == before


def test_each_page_gets_the_transcript_of_a_shared_recording(
    make_worker: Callable[[], Worker], database: SQLEngine, store: ObjectStore, clip: Path
) -> None:
    sha256 = add_page(database, store, clip.read_bytes())
    (first,) = make_worker().transcribe(sha256)
    add_page(database, store, clip.read_bytes(), "https://other.example/b", site="portal")
    add_page(
        database, store, clip.read_bytes(), "https://n.example/own", kind="transcript"
    )  # what cleaning made of the first
    keys = make_worker().transcribe(sha256)
    assert sorted(raw_objects(store)) == sorted(keys)
    assert first in keys
    assert len(keys) == 2
    with database.begin() as connection:
        assert len(connection.execute(select(TranscriptRow.media_sha256)).all()) == 1


def test_silence_is_noted_and_brings_no_document(
    make_worker: Callable[[], Worker], database: SQLEngine, store: ObjectStore, tmp_path: Path
) -> None:
    sound = write(tmp_path / "a.mp3", silence(20), codec="libmp3lame").read_bytes()
    sha256 = add_page(database, store, sound)
    assert make_worker().transcribe(sha256) == []
    assert raw_objects(store) == {}
    with database.begin() as connection:
        (row,) = connection.execute(select(TranscriptRow.__table__)).all()
    assert (row.text, row.segments, row.raw_key) == ("", [], "")


def test_bad_recordings_go_to_quarantine_at_once(
    make_worker: Callable[[], Worker], database: SQLEngine, store: ObjectStore, tmp_path: Path
) -> None:
    whole = write(tmp_path / "a.mp4", tone(3), codec="aac").read_bytes()
    locked = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "7" * 32, "encryption_kid": "a" * 32}
    bad = {
        b"<html>404</html>" * 50: "no audio or video",
        b"#EXTM3U\n#EXTINF:10,\nhttp://n.example/1.ts\n#EXT-X-ENDLIST\n": "no audio or video",
        whole[: len(whole) // 2]: "no audio or video",  # its index was at the end
        b"": "is empty",
        write(tmp_path / "mute.mp4", None, codec="", picture=True).read_bytes(): "no audio track",
        write(tmp_path / "drm.mp4", silence(3), codec="aac", options=locked).read_bytes(): "encrypted",
    }
    reasons = {}
    for number, (data, reason) in enumerate(bad.items()):
        sha256 = add_page(database, store, data, f"https://n.example/{number}")
        defer(database, sha256)
        reasons[sha256] = reason
    counts = asyncio.run(work(make_worker(), follow=False))
    assert (counts.succeeded, counts.failed) == (0, len(bad))
    records = [quarantine.read(store, item.key)[0] for item in store.list("quarantine/asr/")]
    assert {record["media_sha256"] for record in records} == reasons.keys()
    for record in records:
        assert reasons[record["media_sha256"]] in record["reason"]
    assert set(statuses(database)) == {"failed"}


def test_unexpected_failures_are_tried_three_times(
    make_worker: Callable[[], Worker],
    database: SQLEngine,
    store: ObjectStore,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sha256 = add_page(database, store, clip.read_bytes())
    defer(database, sha256)
    tries = []

    def out_of_memory(*_: object, **__: object) -> None:
        tries.append(1)
        raise RuntimeError("out of memory")

    worker = make_worker()
    monkeypatch.setattr(worker.transcriber, "transcribe", out_of_memory)
    counts = asyncio.run(work(worker, follow=False))
    assert (counts.succeeded, counts.failed, len(tries)) == (0, 1, 3)
    (item,) = store.list("quarantine/asr/")
    assert quarantine.read(store, item.key)[0]["reason"] == "RuntimeError: out of memory"


def test_object_with_other_bytes_or_gone_is_refused(
    make_worker: Callable[[], Worker], database: SQLEngine, store: ObjectStore, clip: Path
) -> None:
    sha256 = add_page(database, store, clip.read_bytes())
    store.put(f"media/{sha256[:2]}/{sha256}.mp3", (FOLDER / RECORDINGS[1].file).read_bytes())
    with pytest.raises(WrongRecording, match="holds other bytes"):
        make_worker().transcribe(sha256)
    store.delete(f"media/{sha256[:2]}/{sha256}.mp3")
    with pytest.raises(WrongRecording, match="does not exist"):
        make_worker().transcribe(sha256)
    with pytest.raises(WrongRecording, match="no recording"):
        make_worker().transcribe("0" * 64)
    with database.begin() as connection:
        assert connection.execute(select(Media.sha256)).scalars().all() == [sha256]
        assert connection.execute(select(TranscriptRow.media_sha256)).all() == []


def test_absent_s3_stops_the_worker_and_keeps_the_job(
    make_worker: Callable[[], Worker], settings: Settings, database: SQLEngine, store: ObjectStore, clip: Path
) -> None:
    sha256 = add_page(database, store, clip.read_bytes())
    defer(database, sha256)
    worker = make_worker()
    worker.store = ObjectStore(replace(store.endpoint, endpoint="http://127.0.0.1:9", attempts=1))
    with pytest.raises(ObjectStoreAway, match=r"127\.0\.0\.1:9"):
        asyncio.run(work(worker, follow=False))
    assert statuses(database) == ["todo"], "it is not counted as failed"
    assert list(store.list("quarantine/")) == []


def test_absent_database_is_one_clear_error(environment: dict[str, str]) -> None:
    broken = {**os.environ, **environment, "YUQING_DATABASE__URL": "postgresql://yuqing:secret@127.0.0.1:9/yuqing"}
    done = subprocess.run(
        [sys.executable, "-m", "yuqing", "transcribe"], env=broken, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "PostgreSQL does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
