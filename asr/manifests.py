"""Lists of recordings with their texts, for evaluation and training: one form of our own, and readers for others' folders.

Our own form is JSON lines: {"audio": path relative to the file, "text": what is said} and, if wanted, "id", "condition" (under
which the errors are counted), "start" and "end" (seconds of the recording) and "names" (company names that are said).
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yuqing.errors import YuqingError

RECORDED = "recorded"  # the condition of those that tell none
_AISHELL_TEXTS = Path("transcript/aishell_transcript_v0.8.txt")
_WENETSPEECH = "WenetSpeech.json"
_SOUNDS = (".aac", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm")
_CHUNK = 1 << 20  # characters of WenetSpeech's list read at once; all of it has gigabytes


class ManifestError(YuqingError):
    """A list of recordings cannot be used; the message names the file and, where there are lines, the line."""


@dataclass(frozen=True)
class Utterance:
    """A recording, or seconds [start, end) of one, and what is said in it."""

    id: str
    audio: Path
    text: str
    condition: str = RECORDED
    start: float = 0.0
    end: float | None = None
    names: tuple[str, ...] = ()


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    audio: Annotated[str, Field(min_length=1)]
    text: str
    id: str | None = None
    condition: Annotated[str, Field(min_length=1)] = RECORDED
    start: Annotated[float, Field(ge=0)] = 0.0
    end: float | None = None
    names: list[str] = []


def read_manifest(path: Path, part: str | None = None) -> list[Utterance]:
    """The utterances of a JSON-lines file, a Common Voice TSV, or a folder: AISHELL-1, WenetSpeech, or sounds with .txt beside.

    `part` chooses train, dev or test of AISHELL-1, or a subset of WenetSpeech (S, M, L, DEV, TEST_NET, TEST_MEETING).
    Raises ManifestError: no such file, a broken line, a sound that is not there, nothing at all.
    """
    if path.is_dir():
        if (path / _AISHELL_TEXTS).is_file():
            found = _aishell(path, part)
        elif (path / _WENETSPEECH).is_file():
            found = _wenetspeech(path / _WENETSPEECH, part)
        else:
            found = _folder(path)
    elif path.suffix == ".tsv":
        found = _common_voice(path)
    elif path.name == _WENETSPEECH:
        found = _wenetspeech(path, part)
    else:
        found = _json_lines(path)
    utterances = list(found)
    if not utterances:
        of_part = f" of the part {part}" if part else ""
        raise ManifestError(f"{path} names no recordings{of_part}", cure="see docs/asr.md for the forms of manifests")
    return utterances


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", cure="name a manifest or a folder") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}", cure="save it as UTF-8") from None


def _sound(path: Path, where: str) -> Path:
    if not path.is_file():
        raise ManifestError(f"{where}: there is no recording {path}", cure="mend the path, or unpack the recordings")
    return path


def _json_lines(path: Path) -> Iterator[Utterance]:
    for number, text in _text_lines(path):
        where = f"{path}, line {number}"
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, problem["loc"]))
            raise ManifestError(
                f"{where}: {field + ': ' if field else ''}{problem['msg']}",
                cure='a line is {"audio": "a.opus", "text": "..."}',
            ) from None
        if line.end is not None and line.end <= line.start:
            raise ManifestError(f"{where}: it ends ({line.end} s) before it starts ({line.start} s)")
        audio = _sound(path.parent / line.audio, where)
        name = line.id or (f"{audio.stem}:{line.start:g}" if line.start else audio.stem)
        yield Utterance(name, audio, line.text, line.condition, line.start, line.end, tuple(line.names))


def _aishell(folder: Path, part: str | None) -> Iterator[Utterance]:
    """`wav/<part>/<speaker>/<id>.wav`, and lines `<id> word word ...`; sounds without a line are left out, as the authors do."""
    texts: dict[str, str] = {}
    for number, line in _text_lines(folder / _AISHELL_TEXTS):
        name, _, words = line.partition(" ")
        if not words.strip():
            raise ManifestError(f"{folder / _AISHELL_TEXTS}, line {number}: no text behind {name}")
        texts[name] = words.replace(" ", "")
    for sound in sorted((folder / "wav").glob(f"{part or '*'}/*/*.wav")):
        if sound.stem in texts:
            yield Utterance(sound.stem, sound, texts[sound.stem])


def _common_voice(path: Path) -> Iterator[Utterance]:
    """Tab-separated with a heading; the columns path and sentence count, the sounds lie in clips/ beside the file."""
    lines = _text_lines(path)
    _, heading = next(lines, (0, ""))
    columns = heading.split("\t")
    if not {"path", "sentence"} <= set(columns):
        raise ManifestError(f"{path}, line 1: no columns path and sentence", cure="name a TSV of Common Voice")
    for number, line in lines:
        # Sentences hold lone quotation marks: they quote nothing.
        cells = next(csv.reader([line], delimiter="\t", quoting=csv.QUOTE_NONE))
        where = f"{path}, line {number}"
        if len(cells) != len(columns):
            raise ManifestError(f"{where}: {len(cells)} cells under {len(columns)} headings")
        row = dict(zip(columns, cells, strict=True))
        sound = _sound(path.parent / "clips" / row["path"], where)
        yield Utterance(sound.stem, sound, row["sentence"])


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of the list "audios", one after the other."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8") as file:
        held = ""
        while '"audios"' not in held or "[" not in held[held.index('"audios"') :]:
            chunk = file.read(_CHUNK)
            if not chunk:
                raise ManifestError(f"{path} has no list of audios", cure="use WenetSpeech's own list")
            held += chunk
        held = held[held.index("[", held.index('"audios"')) + 1 :]
        while True:
            held = held.lstrip(" \t\r\n,")
            if held.startswith("]"):
                return
            try:
                item, end = decoder.raw_decode(held)
            except ValueError as error:
                chunk = file.read(_CHUNK)
                if not chunk:
                    raise ManifestError(f"{path} breaks off or is no JSON: {error}", cure="fetch it again") from None
                held += chunk
                continue
            yield item
            held = held[end:]


def _wenetspeech(path: Path, part: str | None) -> Iterator[Utterance]:
    """Segments of long recordings; the condition is the kind of source (drama, news, podcast ...) where it is told."""
    for audio in _objects(path):
        try:
            sound = path.parent / audio["path"]
            for segment in audio["segments"]:
                if part is None or part in segment.get("subsets", ()):
                    condition = audio.get("source") or RECORDED
                    start, end = float(segment["begin_time"]), float(segment["end_time"])
                    where = f"{path}, segment {segment['sid']}"
                    yield Utterance(segment["sid"], _sound(sound, where), segment["text"], condition, start, end)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            name = audio.get("aid", "without aid") if isinstance(audio, dict) else "that is no object"
            raise ManifestError(f"{path}, audio {name}: no {error}", cure="use WenetSpeech's own list") from None


def _folder(folder: Path) -> Iterator[Utterance]:
    """Every sound that has a .txt of its name beside it, also in sub-folders."""
    for sound in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SOUNDS):
        text = sound.with_suffix(".txt")
        if text.is_file():
            try:
                yield Utterance(str(sound.relative_to(folder)), sound, text.read_text(encoding="utf-8-sig").strip())
            except UnicodeDecodeError as error:
                raise ManifestError(f"{text} is not UTF-8: {error}", cure="save it as UTF-8") from None
