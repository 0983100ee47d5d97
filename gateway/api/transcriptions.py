"""/v1/audio/transcriptions, in the shape that OpenAI gave it; /v1/transcriptions: what became of a recording."""

import asyncio
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.filters import Limit
from gateway.problems import RETRY_AFTER_S, Problem, bad_request, not_found, reason_of
from gateway.queries.media import find_media
from gateway.queries.transcriptions import (
    Transcription,
    TranscriptionPage,
    find_transcription,
    list_uploads,
    read_transcript,
    stored_at,
)
from gateway.resources import Gateway, gateway_of
from gateway.uploads import Received, awaited, keep, received
from yuqing import quarantine
from yuqing.contracts import Transcript
from yuqing.errors import YuqingError
from yuqing.subtitles import as_srt, as_text, as_vtt

UPLOADS = "/v1/audio/transcriptions"
router = APIRouter(prefix="/v1", tags=["transcriptions"], responses=PROBLEMS)

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]
Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the recording, 64 hex digits")]
Viewer = Annotated[Caller, Depends(key_with("viewer"))]
STAGE = "asr"  # whose failures are kept under quarantine/asr/
_TEXT = {"schema": {"type": "string"}}
_TEXTS = {"text": (as_text, "text/plain"), "srt": (as_srt, "application/x-subrip"), "vtt": (as_vtt, "text/vtt")}


class TranscriptionForm(BaseModel):
    """The form's fields beside `file`, with the names and defaults that OpenAI's have."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field("whisper-1", max_length=200, description="any; the server has one model, which the answer names")
    language: str | None = Field(
        None, max_length=8, description="the language that the server listens for; another one is refused"
    )
    response_format: Format = "json"
    temperature: float = Field(0, ge=0, le=0)
    timestamp_granularities: list[Literal["segment", "word"]] = Field(
        ["segment"], alias="timestamp_granularities[]", max_length=2, description="for verbose_json"
    )
    stream: Literal["false", "False"] = "false"


@dataclass(frozen=True)
class SpokenSegment:
    """Seconds from the recording's start, and what was said."""

    id: int
    start: float
    end: float
    text: str


@dataclass(frozen=True)
class SpokenWord:
    """A word (of Chinese: one or a few characters) and its seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class PlainTranscript:
    """`response_format=json`."""

    text: str


@dataclass(frozen=True)
class VerboseTranscript:
    """`response_format=verbose_json`; `words` when they were asked for."""

    task: Literal["transcribe"]
    language: str
    duration: float
    text: str
    segments: tuple[SpokenSegment, ...]
    words: tuple[SpokenWord, ...] | None
    model: str


@dataclass(frozen=True)
class TranscriptionState(Transcription):
    """Also why there will be no text, and the text as far as it is there."""

    error: str | None
    text: str | None


_TRANSCRIPT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The transcript",
        "model": PlainTranscript | VerboseTranscript,
        "content": {kind: _TEXT for _, kind in _TEXTS.values()},
    }
}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "audio or video"},
        **TranscriptionForm.model_json_schema(by_alias=True)["properties"],
    },
}


def _verbose(transcript: Transcript, *, words: bool) -> VerboseTranscript:
    segments = tuple(
        SpokenSegment(number, item.start, item.end, item.text) for number, item in enumerate(transcript.segments)
    )
    said = tuple(SpokenWord(word.text, word.start, word.end) for item in transcript.segments for word in item.words)
    return VerboseTranscript(
        task="transcribe",
        language=transcript.language,
        duration=transcript.duration_s,
        text=transcript.text,
        segments=segments,
        words=said if words else None,
        model=transcript.model,
    )


def _answer(transcript: Transcript, form: Format, *, words: bool) -> Response:
    if form in _TEXTS:
        write, media_type = _TEXTS[form]
        return Response(write(transcript).encode("utf-8", "replace"), media_type=f"{media_type}; charset=utf-8")
    made = PlainTranscript(transcript.text) if form == "json" else _verbose(transcript, words=words)
    return JSONResponse(jsonable_encoder(made, exclude_none=True))


def _read_form(gateway: Gateway, upload: Received) -> TranscriptionForm:
    given: dict[str, Any] = {}
    for name, value in upload.fields.multi_items():
        if name == "file":
            continue
        if name == "timestamp_granularities[]":
            given.setdefault(name, []).append(value)
        elif name in given:
            raise bad_request(f"form.{name}", "is given twice")
        else:
            given[name] = value
    try:
        form = TranscriptionForm.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise bad_request(".".join(map(str, ("form", *first["loc"]))), reason_of(first)) from None
    spoken = gateway.settings.asr.language
    if form.language and spoken and form.language != spoken:
        raise bad_request("form.language", f"the server listens for {spoken}", "leave it out")
    return form


def failure_of(gateway: Gateway, sha256: str, day: datetime) -> str | None:
    """Why the worker gave the recording up, as it noted in its quarantine; `day` is when the recording came. None: nobody knows."""
    try:
        return str(quarantine.read(gateway.store, quarantine.key_of(STAGE, sha256, day))[-1]["reason"])
    except (YuqingError, ValueError, OSError, EOFError, LookupError, zlib.error):
        return None


async def _state(gateway: Gateway, team_id: int, sha256: str) -> TranscriptionState:
    async with gateway.reading.connect() as connection:
        found = await find_transcription(connection, team_id, sha256)
        if found is None:
            raise not_found(f"recording {sha256}")
        transcript = await read_transcript(connection, sha256) if found.status == "done" else None
        day = await stored_at(connection, sha256)
    error = None
    if found.status == "failed":
        error = await asyncio.to_thread(failure_of, gateway, sha256, day)
        error = error or "the transcription ended without a transcript; upload the recording again"
    elif found.status == "cancelled":
        error = "an operator took it out of the queue; upload the recording again"
    return TranscriptionState(**asdict(found), error=error, text=transcript.text if transcript else None)


@router.post(
    "/audio/transcriptions",
    operation_id="create_transcription",
    summary="Transcribe a recording",
    response_class=JSONResponse,
    response_model=None,
    responses={
        **_TRANSCRIPT,
        202: {"description": "It takes longer; `Location` says where to ask", "model": TranscriptionState},
        408: PROBLEMS[413] | {"description": "The upload did not arrive in time"},
    },
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def create(
    request: Request,
    caller: Annotated[Caller, Depends(key_with("analyst"))],
    wait: Annotated[float | None, Query(ge=0, le=600, description="seconds, at most the server's own limit")] = None,
) -> Response:
    """Audio or video. The answer has OpenAI's shape, so that its clients work; 202 when the transcript takes longer than `wait`.

    The recording is the team's. Sent again, it is neither stored nor transcribed twice.
    """
    gateway = gateway_of(request)
    async with received(request, gateway) as upload:
        form = _read_form(gateway, upload)
        await keep(gateway, caller, upload)
        sha256 = upload.sha256
    limit = gateway.settings.gateway.transcription_wait_s
    status = await awaited(gateway, request, sha256, limit if wait is None else min(wait, limit))
    if status == "done":
        async with gateway.reading.connect() as connection:
            transcript = await read_transcript(connection, sha256)
        if transcript is not None:
            return _answer(transcript, form.response_format, words="word" in form.timestamp_granularities)
    state = await _state(gateway, caller.team_id, sha256)
    if state.status in ("failed", "cancelled"):
        raise _not_transcribed(state)
    headers = {"Location": f"/v1/transcriptions/{sha256}", "Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse(jsonable_encoder(state), status_code=202, headers=headers)


def _not_transcribed(state: TranscriptionState) -> Problem:
    if state.status == "cancelled":
        return Problem(422, "not-transcribed", f"the recording was not transcribed: {state.error}", "upload it again")
    return Problem(422, "not-transcribed", f"the recording cannot be transcribed: {state.error}", "upload another one")


@router.get("/transcriptions", operation_id="list_transcriptions", summary="The recordings that the team uploaded")
async def listed(
    request: Request,
    caller: Viewer,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="next_before of the page before")] = None,
    limit: Limit = None,
) -> TranscriptionPage:
    """Newest first."""
    async with gateway_of(request).reading.connect() as connection:
        return await list_uploads(connection, caller.team_id, limit=limit or 30, before=before)


@router.get("/transcriptions/{sha256}", operation_id="read_transcription", summary="How far a recording is")
async def state(request: Request, sha256: Sha256, caller: Viewer) -> TranscriptionState:
    """An upload of the team's, or a recording that stands in one of its documents."""
    return await _state(gateway_of(request), caller.team_id, sha256)


@router.get(
    "/transcriptions/{sha256}/content",
    operation_id="read_transcript",
    summary="A recording's transcript",
    response_class=JSONResponse,
    response_model=None,
    responses={
        **_TRANSCRIPT,
        409: PROBLEMS[409] | {"description": "There is no transcript yet, or there will be none"},
    },
)
async def content(
    request: Request,
    sha256: Sha256,
    caller: Viewer,
    response_format: Annotated[
        Format, Query(description="verbose_json has the times, srt and vtt are subtitles")
    ] = "json",
) -> Response:
    """Of an upload of the team's, or of a recording that stands in one of its documents."""
    gateway = gateway_of(request)
    async with gateway.reading.connect() as connection:
        if await find_media(connection, caller.team_id, sha256) is None:
            raise not_found(f"recording {sha256}")
        transcript = await read_transcript(connection, sha256)
    if transcript is None:
        found = await _state(gateway, caller.team_id, sha256)
        reason = f"the transcription is {found.status}" + (f": {found.error}" if found.error else "")
        headers = {} if found.error else {"Retry-After": str(RETRY_AFTER_S)}
        raise Problem(409, "no-transcript", reason, "ask again when it is done", headers=headers)
    return _answer(transcript, response_format, words=True)
