"""A recording that is uploaded: received into a file, told by its content, stored once, and transcribed before all others."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from gateway.auth import Caller
from gateway.problems import Problem, bad_request
from gateway.queries import audit
from gateway.queries.media import MediaObject
from gateway.queries.transcriptions import ENDED, Status, add_upload, known_key, status_of, transcribe_lock
from gateway.resources import Gateway
from yuqing.jobs import TRANSCRIBE, Job, defer_again
from yuqing.media_types import SNIFF_BYTES, MediaType, media_key, sniff

# Somebody waits for it. Recordings that the crawl brings wait with priority 0.
PRIORITY = 10
# How often the tables are asked whether the worker is done: a fraction of the seconds that the shortest recording takes.
POLL_S = 0.5
_FIELDS = 20
_FIELD_BYTES = 16 * 2**10
_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Received:
    """An upload in a temporary file, and the form's other fields."""

    file: BinaryIO
    name: str
    size: int
    sha256: str
    kind: MediaType
    fields: FormData


def _refuse_when_busy(gateway: Gateway) -> None:
    if gateway.uploads.locked():
        raise Problem(
            503,
            "uploads-busy",
            "as many uploads as may are being received",
            "try again when one has ended",
            headers={"Retry-After": "5"},
        )


def _examined(file: BinaryIO) -> tuple[str, MediaType | None]:
    """SHA-256 and type of a file."""
    file.seek(0)
    kind, digest = sniff(file.read(SNIFF_BYTES)), hashlib.sha256()
    file.seek(0)
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest(), kind


@asynccontextmanager
async def received(request: Request, gateway: Gateway) -> AsyncIterator[Received]:
    """The upload, in a temporary file until the end of the block; call it when the caller is known, not before.

    Problem 503 when as many as may are under way, 408 when it does not arrive in time, 413 (from the middleware) when it is too
    large, 400 when the form cannot be read, 422 when it holds no recording.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise bad_request("header.Content-Type", "has to be multipart/form-data", "send a form with the field `file`")
    _refuse_when_busy(gateway)
    seconds = gateway.settings.gateway.upload_s
    async with gateway.uploads:
        try:
            async with asyncio.timeout(seconds):
                form = await request.form(max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)
        except TimeoutError:
            raise Problem(408, "upload-too-slow", f"the upload did not arrive within {seconds:g} s") from None
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise bad_request("form.file", "is missing", "send the recording as the form's file `file`")
            sha256, kind = await asyncio.to_thread(_examined, file.file)
            if kind is None:
                raise bad_request(
                    "form.file",
                    "is neither audio nor video of a known type",
                    "send mp3, m4a, mp4, wav, ogg, flac, webm, aac, amr, flv, avi, wmv, mpg or ts",
                )
            yield Received(file.file, _name(file.filename), file.size or 0, sha256, kind, form)
        finally:
            await form.close()


def _name(given: str | None) -> str:
    """The file's name as it may be shown: without folders and without what does not print."""
    plain = (given or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(character for character in plain if character.isprintable())[:_NAME_CHARACTERS]


def _store(gateway: Gateway, upload: Received, key: str) -> None:
    if not gateway.store.exists(key):
        upload.file.seek(0)
        gateway.store.put_stream(key, upload.file, content_type=upload.kind.content_type)


async def keep(gateway: Gateway, caller: Caller, upload: Received) -> Status:
    """Store the recording under its content, note that it is the team's, and ask for its transcript unless there is one.

    Sent again, nothing is stored or transcribed twice. Raises ObjectStoreError.
    """
    async with gateway.reading.connect() as connection:
        key = await known_key(connection, upload.sha256) or media_key(upload.sha256, upload.kind)
    await asyncio.to_thread(_store, gateway, upload, key)
    recording = MediaObject(upload.sha256, key, upload.kind.content_type, upload.size)
    lock = transcribe_lock(upload.sha256)
    job = Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": upload.sha256}, lock, PRIORITY)
    async with gateway.database.begin() as connection:
        await add_upload(connection, caller.team_id, recording, upload.name)
        detail = {"name": upload.name, "bytes": upload.size, "content_type": upload.kind.content_type}
        await audit.note(
            connection, caller.team_id, caller.actor, "recording.upload", f"recording:{upload.sha256}", detail
        )
        status = await status_of(connection, upload.sha256)
        if status in ("queued", "failed", "cancelled"):
            await connection.run_sync(defer_again, [job])
            return "queued"
    return status


async def awaited(gateway: Gateway, request: Request, sha256: str, seconds: float) -> Status:
    """How far the transcription is when it has ended, or when `seconds` have passed, or the process is told to stop.

    At once when as many as may are waiting already: each asks the database twice a second.
    """
    if gateway.waiting.locked():
        return await _awaited(gateway, request, sha256, 0)
    async with gateway.waiting:
        return await _awaited(gateway, request, sha256, seconds)


async def _awaited(gateway: Gateway, request: Request, sha256: str, seconds: float) -> Status:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        async with gateway.reading.connect() as connection:
            status = await status_of(connection, sha256)
        left = deadline - loop.time()
        if status in ENDED or left <= 0 or gateway.stopping.is_set() or await request.is_disconnected():
            return status
        await asyncio.sleep(min(POLL_S, left))
