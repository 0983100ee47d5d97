"""The queue's task: one recording to its transcript, safe to be killed anywhere and to be run twice."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import procrastinate
from prometheus_client import Counter
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from asr import audio
from asr.audio import AudioError
from asr.chunks import StoredChunks
from asr.documents import (
    Recording,
    add_transcript,
    batch_bytes,
    batch_key,
    find_recording,
    find_transcript,
    pages_of,
    raw_document,
)
from asr.engines.engine import SpeechModelError
from asr.transcriber import Transcriber
from yuqing import quarantine, watchlist
from yuqing.contracts import Transcript
from yuqing.database import session
from yuqing.errors import YuqingError
from yuqing.jobs import TRANSCRIBE, JobCounts, job_app, retry, run_pending
from yuqing.objects import ObjectMissing, ObjectStore, ObjectStoreAway
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

STAGE = "asr"
log = get_logger(STAGE)

# Seconds until a job that met an absent S3 or database is tried again; such tries are not counted as failures.
_OUTAGE_RETRY_S = 15

_DONE = Counter("yuqing_asr_transcribed_total", "Recordings transcribed")
_FAILED = Counter("yuqing_asr_failed_total", "Tries that failed")
_SECONDS = Counter("yuqing_asr_audio_seconds_total", "Seconds of audio transcribed")

# Called with the recording, the seconds of it that are done and, where its container tells, those it has.
OnProgress = Callable[[Recording, float, float | None], None]


class WrongRecording(YuqingError):
    """The job's recording is not known, is gone from S3, or is not what its name says. Another try would not help."""


_HOPELESS = (AudioError, WrongRecording)
# A model that cannot be loaded is nothing that a recording could help.
_AWAY = (ObjectStoreAway, session.DatabaseAway, SpeechModelError)


class Retries(procrastinate.BaseRetryStrategy):
    """An absent service: again in a while, however often. A bad recording: never. Anything else: as all stages do."""

    def __init__(self, settings: Settings) -> None:
        self._usual = retry(settings)

    def get_retry_decision(
        self, *, exception: BaseException, job: procrastinate.jobs.Job
    ) -> procrastinate.RetryDecision | None:
        """When to run the job again; None: never."""
        if isinstance(exception, _AWAY):
            return procrastinate.RetryDecision(retry_in={"seconds": _OUTAGE_RETRY_S})
        if isinstance(exception, _HOPELESS):
            return None
        return self._usual.get_retry_decision(exception=exception, job=job)


@dataclass
class Worker:
    """What the task needs; the model is loaded once, at the first recording with a voice in it."""

    settings: Settings
    store: ObjectStore
    pool: Engine
    transcriber: Transcriber
    on_progress: OnProgress = lambda _recording, _seconds, _of: None
    outage: YuqingError | None = field(default=None, init=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Worker":
        """A worker on the services that the settings name. Raises NotConfigured."""
        return cls(settings, ObjectStore.from_settings(settings), session.engine(settings), Transcriber(settings))

    def transcribe(self, media_sha256: str) -> list[str]:
        """Transcribe one recording and write it back under raw/ for each page that carries it; returns the batches' keys.

        What a run before has done is not done again: the row is looked up first, and batches are written only where absent.
        Raises WrongRecording, AudioError, ObjectStoreAway, DatabaseAway.
        """
        options_hash = self.transcriber.options.digest
        with session.transaction(self.pool) as connection:
            recording = find_recording(connection, media_sha256)
            known = find_transcript(connection, media_sha256, options_hash)
            names = [name for company in watchlist.from_database(connection) for name in company.names]
        if recording is None:
            raise WrongRecording(f"no recording {media_sha256} is in the table media")
        transcript = known or self._listen(recording, names)
        with session.transaction(self.pool) as connection:
            pages = pages_of(connection, media_sha256) if transcript.text else []
            if known is None:
                add_transcript(connection, transcript, batch_key(pages[0], transcript) if pages else "")
                # Another worker may have been first; what stands in the table is what counts.
                transcript = find_transcript(connection, media_sha256, options_hash) or transcript
        if transcript.duration_s > self.settings.asr.window_s:
            self._chunks(media_sha256).remove()
        keys = []
        for page in pages:
            keys.append(batch_key(page, transcript))
            self.store.put(
                keys[-1],
                batch_bytes(raw_document(page, recording, transcript)),
                content_type="application/gzip",
                only_if_absent=True,
            )
        # Given up before, and replayed.
        self.store.delete(quarantine.key_of(STAGE, media_sha256, recording.created_at))
        return keys

    def _listen(self, recording: Recording, names: Sequence[str]) -> Transcript:
        audio.refuse_larger(recording.s3_key, recording.bytes, self.settings.asr.limit_bytes)
        with tempfile.TemporaryDirectory(prefix="yuqing-asr-") as folder:
            path = Path(folder) / Path(recording.s3_key).name
            try:
                self.store.download(recording.s3_key, path)
            except ObjectMissing as error:
                raise WrongRecording(error.message) from None
            with path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            if sha256 != recording.sha256:
                raise WrongRecording(f"{recording.s3_key} holds other bytes: their sha256 is {sha256}")
            transcript = self.transcriber.transcribe(
                path,
                self._reporting(recording, audio.claimed_duration(path)),
                self._chunks(recording.sha256),
                names=names,
            )
        _DONE.inc()
        _SECONDS.inc(transcript.duration_s)
        log.info(
            "transcribed",
            media=recording.sha256,
            seconds=transcript.duration_s,
            segments=len(transcript.segments),
            removed=len(transcript.removed),
        )
        return transcript

    def _reporting(self, recording: Recording, of: float | None) -> Callable[[float], None]:
        """What tells of the seconds done: each time to whoever watches, and once a window in the log."""
        told = 0.0

        def report(seconds: float) -> None:
            nonlocal told
            if seconds - told >= self.settings.asr.window_s:
                told = seconds
                log.info("transcribing", media=recording.sha256, seconds=round(seconds), of=of and round(of))
            self.on_progress(recording, seconds, of)

        return report

    def _chunks(self, media_sha256: str) -> StoredChunks:
        return StoredChunks(self.store, media_sha256, self.transcriber.options.digest)

    def give_up(self, media_sha256: str, error: Exception) -> None:
        """Put the recording into quarantine with the reason."""
        with session.transaction(self.pool) as connection:
            recording = find_recording(connection, media_sha256)
        reason = error.message if isinstance(error, YuqingError) else f"{type(error).__name__}: {error}"
        record = {"reason": reason, "media_sha256": media_sha256, "s3_key": recording.s3_key if recording else None}
        day = recording.created_at if recording else None
        key = quarantine.write(self.store, STAGE, media_sha256, [record], day=day)
        self._chunks(media_sha256).remove()
        log.error("recording quarantined", media=media_sha256, reason=reason, key=key)

    def run_job(self, media_sha256: str, attempts: int) -> None:
        """One try of a job that had `attempts` before; the last one that fails puts the recording into quarantine."""
        self.outage = None
        try:
            self.transcribe(media_sha256)
        except OperationalError as error:
            self.outage = session.away(error)
            raise self.outage from error
        except _AWAY as error:
            self.outage = error
            raise
        except Exception as error:
            _FAILED.inc()
            if isinstance(error, _HOPELESS) or attempts + 1 >= self.settings.jobs.attempts:
                self.give_up(media_sha256, error)
            raise


async def work(worker: Worker, *, follow: bool) -> JobCounts:
    """Transcribe what waits in the queue; with `follow` stay and wait for more.

    Raises ObjectStoreAway or DatabaseAway when a service goes away under a worker that does not stay; its job waits in the queue.
    """
    with session.transaction(worker.pool):
        pass  # the queue's own pool would try for half a minute before it says that nobody answers
    app = job_app(worker.settings)

    @app.task(name=TRANSCRIBE, queue=TRANSCRIBE, retry=Retries(worker.settings), pass_context=True)
    async def transcribe(context: procrastinate.JobContext, media_sha256: str) -> None:
        try:
            await asyncio.to_thread(worker.run_job, media_sha256, context.job.attempts)
        finally:
            if worker.outage is not None and not follow:
                running.cancel()

    async with app.open_async():
        running = asyncio.create_task(run_pending(app, [TRANSCRIBE], worker.settings, follow=follow, concurrency=1))
        counts = await running
    if worker.outage is not None and not follow:
        raise worker.outage
    return counts
