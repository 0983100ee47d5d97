"""Recordings that were given up, transcribed after all."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine as SQLEngine
from sqlalchemy import select, text

from asr.replay import NotReplayable, replay
from asr.transcriber import Transcriber
from asr.worker import Worker, work
from tests.asr.media import silence, write
from tests.asr.test_worker import add_page, defer, statuses
from yuqing import quarantine
from yuqing.database.models import TranscriptRow
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def transcribed(database: SQLEngine) -> list[str]:
    with database.begin() as connection:
        return list(connection.execute(select(TranscriptRow.media_sha256)).scalars())


def test_what_was_given_up_is_transcribed_after_all(
    settings: Settings, environment: dict[str, str], database: SQLEngine, store: ObjectStore, tmp_path: Path
) -> None:
    strict = settings.model_copy(update={"asr": settings.asr.model_copy(update={"limit_s": 5})})
    worker = Worker(strict, store, database, Transcriber(strict))
    sounds = [write(tmp_path / f"{seconds}.wav", silence(seconds), codec="pcm_s16le") for seconds in (4, 8)]
    broken, long = (
        add_page(database, store, sound.read_bytes(), f"https://n.example/{sound.stem}") for sound in sounds
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.transcriber, "transcribe", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            worker.run_job(broken, settings.jobs.attempts - 1)
    defer(database, long)
    assert asyncio.run(work(worker, follow=False)).failed == 1
    assert statuses(database) == ["failed"]

    def kept() -> dict[str, str]:
        items = [quarantine.read(store, item.key)[0] for item in store.list("quarantine/asr/")]
        return {item["media_sha256"]: item["reason"] for item in items}

    assert kept().keys() == {broken, long}
    assert replay(database, store, ["quarantine/asr/"]) == 2
    assert replay(database, store, ["quarantine/asr/"]) == 0, "they wait already"
    assert statuses(database) == ["todo", "todo"], "the job that failed before is no longer told of"
    counts = asyncio.run(work(worker, follow=False))
    assert (counts.succeeded, counts.failed) == (1, 1)
    assert transcribed(database) == [broken]
    assert kept().keys() == {long}, "what is done leaves, the rest stays once"

    (key,) = [item.key for item in store.list("quarantine/asr/")]
    command = [sys.executable, "-m", "yuqing", "transcribe", "--json", "--replay", key]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"transcribed": 1, "failed": 0}
    assert set(transcribed(database)) == {broken, long}
    assert kept() == {}
    assert statuses(database) == []


def test_what_cannot_be_replayed_is_named(database: SQLEngine, store: ObjectStore) -> None:
    store.ensure_bucket()
    for name, reason in (
        ("quarantine/cleaning/", "no recordings"),
        ("quarantine/asr/dt=2026-01-01/", "nothing under"),
    ):
        with pytest.raises(NotReplayable, match=reason):
            replay(database, store, [name])
    sha256 = add_page(database, store, b"no recording")
    key = quarantine.write(store, "asr", sha256, [{"reason": "no media", "media_sha256": sha256}])
    with database.begin() as connection:
        connection.execute(text("DELETE FROM document_media"))
        connection.execute(text("DELETE FROM media"))
    assert replay(database, store, [key]) == 0
    assert quarantine.read(store, key), "it stays"
    store.put(key, b"no gzip")
    with pytest.raises(NotReplayable, match="damaged"):
        replay(database, store, [key])
