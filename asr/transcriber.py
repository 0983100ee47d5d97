"""faster-whisper over a whole recording: samples in, simplified and punctuated Chinese with times out.

The voice detector is a judge here, not a knife: cutting the sound where it hears no voice doubled the character error rate of
Whisper base on news, but a segment in which nobody is heard was invented, and minutes without a voice need no model.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr import audio
from asr.phantoms import RULES_VERSION, Heard, Sifted, sift
from yuqing.contracts import Segment, Transcript
from yuqing.errors import YuqingError
from yuqing.identity import derived_id
from yuqing.settings import ASRSettings, Settings
from yuqing.text.normalise import to_simplified
from yuqing.weights import model_path

# Seconds kept around a voice: a soft first or last syllable lies outside what the detector hears.
_MARGIN_S = 1.0
_TAIL_S = 0.1  # shorter ends of a recording hold no word
_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff"
_FULL_WIDTH = str.maketrans(",;:!?", "，；：！？")

Spans = list[tuple[float, float]]
# Called with the seconds of audio done.
OnProgress = Callable[[float], None]


class SpeechModelError(YuqingError):
    """The speech model cannot be loaded."""


@dataclass(frozen=True)
class Options:
    """All that decides what a transcript says; the same options and the same sound give the same text."""

    model: str
    compute_type: str
    beam_size: int
    language: str | None
    prompt: str
    window_s: float
    voice_threshold: float
    pause_s: float
    voice_share: float
    loop_repeats: int
    rules_version: int = RULES_VERSION

    @classmethod
    def from_settings(cls, settings: ASRSettings) -> "Options":
        """The options that the settings ask for; a model's folder counts by its name."""
        names = cls.__dataclass_fields__.keys() - {"model", "rules_version"}
        chosen = {name: getattr(settings, name) for name in names}
        return cls(model=Path(settings.model).name, **chosen)

    @property
    def digest(self) -> str:
        """32 hex digits that name these options."""
        return derived_id("transcript options", json.dumps(asdict(self), sort_keys=True, ensure_ascii=False))


class Transcriber:
    """Holds the model, which is loaded at the first use. Recordings are transcribed one at a time."""

    def __init__(self, settings: Settings) -> None:
        self.options = Options.from_settings(settings.asr)
        self._settings = settings
        self._model: Any = None
        self._turn = threading.Lock()

    def load(self) -> None:
        """Load the model unless it is there; its files are fetched first when they are absent. Raises SpeechModelError."""
        if self._model is not None:
            return
        from faster_whisper import WhisperModel  # takes a second to import

        settings = self._settings.asr
        named = Path(settings.model).expanduser()
        folder = named if named.is_dir() else model_path(settings.model, self._settings)
        try:
            self._model = WhisperModel(
                str(folder),
                device=settings.device,
                compute_type=settings.compute_type,
                cpu_threads=settings.threads or len(os.sched_getaffinity(0)),
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise SpeechModelError(
                f"the speech model in {folder} cannot be loaded: {error}",
                cure=f"try `yuqing models verify {settings.model}`, and check YUQING_ASR__DEVICE and "
                "YUQING_ASR__COMPUTE_TYPE",
            ) from None

    def transcribe(self, path: Path, on_progress: OnProgress = lambda _seconds: None) -> Transcript:
        """Write down what is said in an audio or video file.

        Silence, noise and music yield no text. Raises NotMedia, NoSound, SpeechModelError, and what model_path raises.
        """
        with self._turn:
            heard: list[Heard] = []
            duration = 0.0
            languages: list[str] = []
            for window in audio.windows(path, self.options.window_s):
                for item, language in self._window(window):
                    heard.append(item)
                    languages.append(language)
                    on_progress(item.segment.end)
                duration = window.start_s + len(window.samples) / audio.SAMPLE_RATE
                on_progress(duration)
        options = self.options
        sifted: Sifted = sift(
            tidy(heard), prompt=options.prompt, voice_share=options.voice_share, loop_repeats=options.loop_repeats
        )
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return Transcript(
            media_sha256=sha256,
            model=options.model,
            options_hash=options.digest,
            language=options.language or (max(set(languages), key=languages.count) if languages else "und"),
            duration_s=round(duration, 3),
            text="\n".join(segment.text for segment in sifted.kept),
            segments=sifted.kept,
            removed=sifted.removed,
        )

    def _window(self, window: audio.Window) -> Iterator[tuple[Heard, str]]:
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        if len(window.samples) < _TAIL_S * audio.SAMPLE_RATE:
            return
        options = self.options
        found = get_speech_timestamps(window.samples, VadOptions(threshold=options.voice_threshold))
        voices = [(span["start"] / audio.SAMPLE_RATE, span["end"] / audio.SAMPLE_RATE) for span in found]
        length = len(window.samples) / audio.SAMPLE_RATE
        clips = stretches(voices, length, options.pause_s)
        if not clips:
            return
        self.load()
        segments, info = self._model.transcribe(
            window.samples,
            language=options.language,
            beam_size=options.beam_size,
            # No fall-back to higher temperatures: that samples at random, and a retried job must say the same.
            temperature=0.0,
            initial_prompt=options.prompt or None,
            clip_timestamps=[moment for clip in clips for moment in clip],
        )
        for segment in segments:
            start, end = min(segment.start, length), min(segment.end, length)
            said = Segment(
                start=round(window.start_s + start, 2),
                end=round(window.start_s + end, 2),
                text=" ".join(segment.text.split()),
            )
            yield Heard(said, overlap(voices, start, end)), info.language


def stretches(voices: Sequence[tuple[float, float]], length: float, pause_s: float) -> Spans:
    """What to show to the model: the voices with a margin, joined over pauses up to `pause_s`. Seconds, in order."""
    joined: Spans = []
    for start, end in voices:
        start, end = max(0.0, start - _MARGIN_S), min(length, end + _MARGIN_S)
        if joined and start - joined[-1][1] <= pause_s:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def overlap(voices: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """Seconds of [start, end) in which there is a voice."""
    return sum(max(0.0, min(end, stop) - max(start, begin)) for begin, stop in voices)


def tidy(heard: Sequence[Heard]) -> list[Heard]:
    """Simplified characters and full-width punctuation; the script is judged over the whole transcript."""
    if not heard:
        return []
    lines = to_simplified("\n".join(item.segment.text for item in heard)).split("\n")
    return [
        Heard(item.segment.model_copy(update={"text": punctuate(line)}), item.voice_s)
        for item, line in zip(heard, lines, strict=True)
    ]


def punctuate(text: str) -> str:
    """Whisper's half-width marks after an ideograph become full-width ones; a blank between ideographs, its sign for a
    pause, becomes a comma."""
    text = re.sub(rf"(?<=[{_IDEOGRAPH}]) +(?=[{_IDEOGRAPH}])", "，", text)
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])[,;:!?]", lambda mark: mark[0].translate(_FULL_WIDTH), text)
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])\.(?!\w)", "。", text)
    return re.sub(r"(?<=[，；：！？。]) +", "", text)
