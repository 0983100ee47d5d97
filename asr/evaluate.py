"""Error rates of speech recognition against a manifest: characters, words, company names and speed, by condition.

Both sides are normalised first (asr.normaliser). Errors are those of a shortest alignment (Levenshtein); a rate is their number
divided by the length of the reference, so that insertions can take it over 1.
"""

import time
import wave
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from asr import audio
from asr.conditions import Samples, apply_condition
from asr.manifests import Utterance
from asr.normaliser import VERSION, characters, normalise_transcript, words

ALL = "all"  # the row over all conditions


@dataclass(frozen=True)
class Errors:
    """How a text differs from its reference, in characters or words."""

    reference: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @classmethod
    def between(cls, reference: Sequence[str], heard: Sequence[str]) -> "Errors":
        """The errors of a shortest alignment."""
        from rapidfuzz.distance import Levenshtein

        kinds = Counter(edit.tag for edit in Levenshtein.editops(reference, heard))
        return cls(len(reference), kinds["replace"], kinds["delete"], kinds["insert"])

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(*(mine + others for mine, others in zip(self._counts(), other._counts(), strict=True)))

    def _counts(self) -> tuple[int, int, int, int]:
        return self.reference, self.substitutions, self.deletions, self.insertions

    @property
    def rate(self) -> float | None:
        """Errors divided by the reference's length; None where nothing was said."""
        return (self.substitutions + self.deletions + self.insertions) / self.reference if self.reference else None


@dataclass(frozen=True)
class Heard:
    """One utterance as it was recognised. Texts are normalised; times are in seconds."""

    id: str
    condition: str
    reference: str
    heard: str
    characters: Errors
    words: Errors
    names_said: int
    names_right: int
    audio_s: float
    computing_s: float


@dataclass(frozen=True)
class Row:
    """The sums over the utterances of a condition."""

    condition: str
    utterances: int = 0
    audio_s: float = 0.0
    computing_s: float = 0.0
    characters: Errors = field(default_factory=Errors)
    words: Errors = field(default_factory=Errors)
    names_said: int = 0
    names_right: int = 0

    def as_json(self) -> dict[str, Any]:
        """Rates rounded to four digits: cer, wer, rtf (seconds of computing a second of sound), names_right (a share)."""

        def rounded(value: float | None) -> float | None:
            return None if value is None else round(value, 4)

        return {
            "condition": self.condition,
            "utterances": self.utterances,
            "audio_s": round(self.audio_s, 1),
            "rtf": rounded(self.computing_s / self.audio_s if self.audio_s else None),
            "cer": rounded(self.characters.rate),
            "wer": rounded(self.words.rate),
            "characters": asdict(self.characters),
            "words": asdict(self.words),
            "names_said": self.names_said,
            "names_right": rounded(self.names_right / self.names_said if self.names_said else None),
        }


def samples_of(utterance: Utterance) -> Samples:
    """Its stretch of the recording as 16 kHz mono samples. Raises NotMedia, NoSound."""
    begin = round(utterance.start * audio.SAMPLE_RATE)
    end = None if utterance.end is None else round(utterance.end * audio.SAMPLE_RATE)
    held: list[Samples] = []
    size = 0
    for chunk in audio.decode(utterance.audio):
        held.append(chunk)
        size += len(chunk)
        if end is not None and size >= end:
            break
    return np.concatenate(held)[begin:end]


@contextmanager
def written(samples: Samples) -> Iterator[Path]:
    """The samples as a WAV file for as long as it is needed."""
    with TemporaryDirectory(prefix="yuqing-asr-") as folder:
        path = Path(folder) / "speech.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(audio.SAMPLE_RATE)
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        yield path


def recognise(
    utterances: Iterable[Utterance], transcribe: Callable[[Path], str], conditions: Sequence[str] = ()
) -> Iterator[Heard]:
    """Let each utterance be recognised, under each of the conditions made of it, or else as it is.

    Raises UnknownCondition, NotMedia, NoSound, and what `transcribe` raises.
    """
    for number, utterance in enumerate(utterances):
        clean = samples_of(utterance)
        for condition in conditions or (None,):
            samples = clean if condition is None else apply_condition(condition, clean, seed=number)
            with written(samples) as path:
                began = time.perf_counter()
                text = transcribe(path)
                took = time.perf_counter() - began
            yield compare(utterance, text, condition or utterance.condition, len(samples) / audio.SAMPLE_RATE, took)


def compare(utterance: Utterance, text: str, condition: str, audio_s: float, computing_s: float) -> Heard:
    """Count the errors of one recognised text."""
    reference, heard = normalise_transcript(utterance.text), normalise_transcript(text)
    said = right = 0
    for name in map(normalise_transcript, utterance.names):
        times = reference.count(name)
        said += times
        right += min(times, heard.count(name))
    return Heard(
        utterance.id,
        condition,
        reference,
        heard,
        Errors.between(characters(reference), characters(heard)),
        Errors.between(words(reference), words(heard)),
        said,
        right,
        audio_s,
        computing_s,
    )


def table(heard: Iterable[Heard]) -> list[Row]:
    """A row a condition in the order in which they came, and one over all when there are several."""
    rows: dict[str, Row] = {}
    items = list(heard)
    several = len({item.condition for item in items}) > 1
    for item in items:
        for name in (item.condition, *([ALL] if several else [])):
            row = rows.setdefault(name, Row(name))
            rows[name] = Row(
                name,
                row.utterances + 1,
                row.audio_s + item.audio_s,
                row.computing_s + item.computing_s,
                row.characters + item.characters,
                row.words + item.words,
                row.names_said + item.names_said,
                row.names_right + item.names_right,
            )
    # The sum comes last.
    return sorted(rows.values(), key=lambda row: row.condition == ALL and several)


def as_json(rows: Sequence[Row], model: str) -> dict[str, Any]:
    """What `yuqing asr evaluate --json` prints."""
    return {"model": model, "normaliser": VERSION, "conditions": [row.as_json() for row in rows]}
