"""Uploads: OpenAI's own client, the real worker, two teams, and what is no recording."""

import asyncio
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import Engine, text

from asr.audio import SAMPLE_RATE, decode
from asr.transcriber import Transcriber
from asr.worker import Worker, work
from gateway.uploads import _name
from tests.asr.media import write
from tests.gateway import rows
from tests.gateway.conftest import RECORDING, running
from tests.gateway.test_keys import bearer, is_problem
from tests.gateway.test_pages import sign_in
from yuqing import quarantine
from yuqing.jobs import TRANSCRIBE, Job, defer_in_transaction
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

SOUND = b"ID3\x04\x00" + b"sound" * 400_000  # 2 MB: more than a JSON body may have, and more than stays in memory
LINES = [(0.0, 2.5, "晨报消息，<云岭通信>发布公告。"), (2.5, 61.25, "股价 & 成交量上涨。")]
PATH = "/v1/audio/transcriptions"


@pytest.fixture
def other(address: str, database: Engine) -> Iterator[httpx.Client]:
    """A client of another team's administrator."""
    with database.begin() as connection:
        key = rows.add_key(connection, "竞争对手", "admin")
    with httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client:
        yield client


def send(client: httpx.Client, content: bytes = SOUND, wait: float = 0, **fields: str) -> httpx.Response:
    files = {"file": ("../录音 一.mp3", content, "text/html")}
    return client.post(PATH, params={"wait": wait}, files=files, data={"model": "whisper-1", **fields})


def jobs(database: Engine) -> list[tuple[str, int]]:
    with database.connect() as connection:
        found = connection.execute(text("SELECT args->>'media_sha256', priority FROM procrastinate_jobs ORDER BY id"))
        return [(str(sha256), int(priority)) for sha256, priority in found]


def counted(database: Engine) -> int:
    """Uploads that the audit log tells of."""
    with database.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM audit_log WHERE action = 'recording.upload'"))
        return int(found.scalar_one())


def in_background(ask: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@given(some.text())
def test_a_name_can_be_shown(given_name: str) -> None:
    name = _name(given_name)
    assert name.isprintable() and "/" not in name and len(name) <= 200


@pytest.mark.service
def test_openais_client_and_the_worker(
    address: str, key: str, database: Engine, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    samples = np.concatenate(list(decode(RECORDING)))[: 11 * SAMPLE_RATE]
    clip = write(tmp_path / "clip.mp3", samples, codec="libmp3lame")
    store.ensure_bucket()
    answers: list[openai.types.audio.TranscriptionVerbose] = []
    with httpx.Client(trust_env=False) as plain:
        client = openai.OpenAI(api_key=key, base_url=f"{address}/v1", http_client=plain, max_retries=0)  # type: ignore[arg-type]

        def ask() -> None:
            with clip.open("rb") as file:
                answers.append(
                    client.audio.transcriptions.create(
                        model="whisper-1",
                        file=file,
                        language="zh",
                        response_format="verbose_json",
                        timestamp_granularities=["segment", "word"],
                    )
                )

        waiting = in_background(ask)
        deadline = time.monotonic() + 60
        while not jobs(database):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [priority for _, priority in jobs(database)] == [10]
        worker = Worker(settings, store, database, Transcriber(settings))
        assert asyncio.run(work(worker, follow=False)).succeeded == 1
        waiting.join(60)
        (answer,) = answers
        with clip.open("rb") as file:
            again = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="srt")
        with clip.open("rb") as file:
            plain_text = client.audio.transcriptions.create(model="any", file=file).text
    assert answer.duration == pytest.approx(11, abs=0.5)
    assert answer.segments and answer.words and answer.segments[0].text in answer.text
    assert plain_text == answer.text != ""
    assert str(again).startswith("1\n00:00:0")
    assert jobs(database) == [], "what was transcribed before is not transcribed again"
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM transcripts")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM uploads")).scalar_one() == 1
        actions = connection.execute(text("SELECT action FROM audit_log")).scalars().all()
    assert actions.count("recording.upload") == 3


@pytest.mark.service
def test_a_recording_belongs_to_those_who_sent_it(
    api: httpx.Client, other: httpx.Client, database: Engine, store: ObjectStore
) -> None:
    sha256 = hashlib.sha256(SOUND).hexdigest()
    paths = [f"/v1/transcriptions/{sha256}{end}" for end in ("", "/content")] + [f"/v1/media/{sha256}/content"]
    store.ensure_bucket()
    with database.begin() as connection:  # the crawl has brought the same recording, and its job waits
        rows.add_media(connection, SOUND)
        connection.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args) "
                f"""VALUES ('transcribe', 'transcribe', 'transcribe:{sha256}', '{{"media_sha256": "{sha256}"}}')"""
            )
        )
    for path in paths:
        is_problem(api.get(path), 404, "not-found")
    accepted = send(api)
    assert accepted.status_code == 202, accepted.text
    assert int(accepted.headers["retry-after"]) > 0
    state = accepted.json()
    assert accepted.headers["location"] == f"/v1/transcriptions/{sha256}"
    assert (state["status"], state["name"], state["text"], state["bytes"]) == (
        "queued",
        "录音 一.mp3",
        None,
        len(SOUND),
    )
    assert jobs(database) == [(sha256, 10)], "the waiting job goes first now"
    assert store.get(f"media/{sha256[:2]}/{sha256}.bin") == SOUND, "stored where the table says"
    waits = api.get(paths[1])
    is_problem(waits, 409, "no-transcript")
    assert int(waits.headers["retry-after"]) > 0
    assert api.get(paths[2]).content == SOUND
    for path in paths:
        is_problem(other.get(path), 404, "not-found")
    assert other.get("/v1/transcriptions").json() == {"items": [], "next_before": None}

    with database.begin() as connection:
        connection.execute(text("DELETE FROM procrastinate_jobs"))
    assert "upload the recording again" in api.get(paths[0]).json()["error"]
    with database.begin() as connection:
        rows.add_transcript(connection, sha256, LINES)
    done = api.get(paths[0]).json()
    assert (done["status"], done["duration_s"], done["error"]) == ("done", 61.25, None)
    is_problem(other.get(paths[1]), 404, "not-found")
    assert send(other).json() == {"text": done["text"]}, "there is a transcript already"
    assert other.get(paths[0]).json()["text"] == done["text"]
    assert jobs(database) == []

    contents = {form: api.get(paths[1], params={"response_format": form}) for form in ("text", "srt", "vtt", "json")}
    assert contents["json"].json() == {"text": done["text"]}
    assert contents["text"].text == done["text"] + "\n"
    assert "2\n00:00:02,500 --> 00:01:01,250\n股价 & 成交量上涨。" in contents["srt"].text
    assert "00:00.000 --> 00:00:02.500" in contents["vtt"].text and "&lt;云岭通信" in contents["vtt"].text
    assert contents["vtt"].headers["content-type"] == "text/vtt; charset=utf-8"
    verbose = api.get(paths[1], params={"response_format": "verbose_json"}).json()
    assert [line["end"] for line in verbose["segments"]] == [2.5, 61.25]
    assert verbose["language"] == "zh"
    is_problem(api.get(paths[1], params={"response_format": "docx"}), 422, "validation")
    assert api.get(paths[1].replace(sha256, "0" * 64)).status_code == 404


@pytest.mark.service
def test_uploads_are_listed_and_failures_told(
    api: httpx.Client, other: httpx.Client, database: Engine, store: ObjectStore, settings: Settings
) -> None:
    store.ensure_bucket()
    sent = [b"ID3" + bytes([number]) * 100 for number in range(3)]
    for content in [*sent, sent[0]]:
        assert send(api, content).status_code == 202
    page = api.get("/v1/transcriptions", params={"limit": 2}).json()
    rest = api.get("/v1/transcriptions", params={"limit": 2, "before": page["next_before"]}).json()
    listed = [item["sha256"] for item in page["items"] + rest["items"]]
    assert listed == [hashlib.sha256(content).hexdigest() for content in reversed(sent)]
    assert rest["next_before"] is None
    # The worker finds that none of them is a recording.
    counts = asyncio.run(work(Worker(settings, store, database, Transcriber(settings)), follow=False))
    assert counts.failed == 3
    failed = api.get(f"/v1/transcriptions/{listed[0]}").json()
    assert failed["status"] == "failed"
    assert "no audio or video that can be read" in failed["error"]
    is_problem(api.get(f"/v1/transcriptions/{listed[0]}/content"), 409, "no-transcript")
    with database.connect() as connection:
        day = connection.execute(text("SELECT created_at FROM media WHERE sha256 = :key"), {"key": listed[0]}).scalar()
    store.delete(quarantine.key_of("asr", listed[0], day))  # type: ignore[arg-type]
    assert api.get(f"/v1/transcriptions/{listed[0]}").json()["error"], "a reason that is gone is no error of the server"
    assert send(api, sent[2]).json()["status"] == "queued", "sent again, it is tried again"
    assert len(jobs(database)) == 3, "and its failed job is no longer told of"

    sends, answers = counted(database), list[httpx.Response]()
    with database.connect() as connection:
        job = connection.execute(text("SELECT id FROM procrastinate_jobs WHERE status = 'todo'")).scalar_one()
    asking = in_background(lambda: answers.append(send(api, sent[2], wait=50)))
    deadline = time.monotonic() + 30
    while counted(database) == sends:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert other.post(f"/v1/jobs/{job}/cancellation").status_code == 200
    asking.join(60)
    is_problem(answers[0], 422, "not-transcribed")
    assert answers[0].json()["cure"] == "upload it again"
    cancelled = api.get(f"/v1/transcriptions/{listed[0]}").json()
    assert cancelled["status"] == "cancelled" and cancelled["error"] in answers[0].json()["detail"]
    assert send(api, sent[2]).json()["status"] == "queued"


@pytest.mark.service
def test_a_documents_page_says_why_its_recording_has_no_transcript(
    anonymous: httpx.Client, key: str, database: Engine, store: ObjectStore, settings: Settings
) -> None:
    store.ensure_bucket()
    content = b"ID3" + b"\x07" * 100
    with database.begin() as connection:
        sha256 = rows.add_media(connection, content)
        rows.add_company(connection, "公关部", "云岭通信")
        doc_id = rows.add_story(connection, rows.Story("云岭通信节目", "云岭通信。", media=sha256))
        operator = rows.add_key(connection, "公关部", "operator")
        lock = f"{TRANSCRIBE}:{sha256}"
        defer_in_transaction(connection, [Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": sha256}, lock)])
    store.put(f"media/{sha256[:2]}/{sha256}.bin", content)
    assert sign_in(anonymous, key).status_code == 303
    zh, en = {"Accept-Language": "zh"}, {"Accept-Language": "en"}

    def page(language: dict[str, str]) -> str:
        return anonymous.get(f"/documents/{doc_id}", headers=language).text

    assert "尚未转写" in page(zh) and "Not transcribed yet" in page(en)
    counts = asyncio.run(work(Worker(settings, store, database, Transcriber(settings)), follow=False))
    assert counts.failed == 1
    told = page(zh)
    assert "无法转写：文件不是可以读取的音频或视频（" in told and "尚未转写" not in told
    assert "could not be transcribed: the file is no audio or video that can be read: " in page(en)
    assert "/operations/quarantine" not in told, "what an analyst may not see is not linked"
    with database.connect() as connection:
        came = connection.execute(text("SELECT created_at FROM media")).scalar_one()
    with httpx.Client(base_url=anonymous.base_url, trust_env=False) as other:
        sign_in(other, operator)
        link = re.search(r'href="(/operations/quarantine/asr/[^"]+)"', other.get(f"/documents/{doc_id}").text)
        assert link and "no audio or video that can be read" in other.get(link[1]).text
    store.delete(quarantine.key_of("asr", sha256, came))
    assert "无法转写。" in page(zh), "the reason was deleted by age"
    for state, words in (("cancelled", "移出了队列"), ("doing", "正在转写")):
        with database.begin() as connection:
            connection.execute(text(f"UPDATE procrastinate_jobs SET status = '{state}'"))
        assert words in page(zh)


@pytest.mark.service
def test_what_is_refused(
    api: httpx.Client, anonymous: httpx.Client, database: Engine, settings: Settings, store: ObjectStore
) -> None:
    store.ensure_bucket()
    is_problem(send(anonymous), 401, "key-missing")
    for content in (b"", b"<html>", b"#EXTM3U\n", b"\x89PNG\r\n", "正文".encode()):
        is_problem(send(api, content), 422, "validation")
    wrong = [
        {"language": "en"},
        {"response_format": "docx"},
        {"temperature": "0.5"},
        {"prompt": "名字"},
        {"stream": "true"},
        {"timestamp_granularities[]": "letter"},
        {"x" * 300: "y"},
        {"model": "x" * 20_000},
    ]
    for fields in wrong:
        assert send(api, **fields).status_code in (400, 422), fields
    is_problem(api.post(PATH, files={"other": SOUND}), 422, "validation")
    is_problem(api.post(PATH, data={"file": "no file"}), 422, "validation")
    is_problem(api.post(PATH, json={"file": "x"}), 422, "validation")
    is_problem(api.post(PATH, files=[("file", SOUND), ("file", SOUND)]), 400, "bad-request")
    is_problem(api.post(PATH, content=b"x", headers={"Content-Type": "multipart/form-data"}), 400, "bad-request")
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", b"\xff" * 3000):
        assert api.post(PATH, content=body, headers=broken).status_code in (400, 422), body[:20]
    assert jobs(database) == []
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM media")).scalar_one() == 0
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部")
    small = {"dependency_timeout_s": 60, "upload_limit_bytes": 3 * 2**20, "upload_s": 1}
    with (
        running(gateway=small) as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client,
    ):
        is_problem(send(client, SOUND * 2), 413, "body-too-large")
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
        parts = (head, *[b"x" * 2**20] * 4)
        is_problem(client.post(PATH, content=iter(parts), headers=broken), 413, "body-too-large")

        def slow() -> Iterator[bytes]:
            yield head
            time.sleep(2)
            yield b"x"

        is_problem(client.post(PATH, content=slow(), headers=broken), 408, "upload-too-slow")
        # Only here bodies may be so large.
        is_problem(client.post("/v1/companies", content=b"x" * 2**21), 413, "body-too-large")


@pytest.mark.service
def test_without_the_store_an_upload_is_refused_and_nothing_is_noted(settings: Settings, database: Engine) -> None:
    gone = {"endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b", "attempts": 1}
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部")
    with (
        running(s3=gone) as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client,
    ):
        away = send(client)
        is_problem(away, 503, "object-store-away")
        assert int(away.headers["retry-after"]) > 0
        assert client.get("/v1/transcriptions").json()["items"] == []
