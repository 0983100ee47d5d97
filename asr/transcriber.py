"""Whisper over a whole recording: samples in, simplified and punctuated Chinese with times out.

The voice detector is a judge here, not a knife: cutting the sound where it hears no voice doubled the character error rate of
Whisper base on news, but a segment in which nobody is heard was invented, and minutes without a voice need no model.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from asr import audio
from asr.chunks import Chunk, Chunks, Nowhere
from asr.engines.engine import Decoding, Engine, SpokenSegment, load_engine
from asr.names import Names
from asr.normaliser import spoken_numbers
from asr.numbers import written
from asr.parts import in_parts, side_by_side
from asr.phantoms import RULES_VERSION, Heard, Rules, looping, sift
from asr.voices import Spans, most_spoken, overlap, stretches, unheard, voices
from asr.writing import tidy
from yuqing.contracts import Segment, Transcript, Word
from yuqing.identity import derived_id
from yuqing.settings import ASRSettings, Settings

# What YUQING_ASR__NUMBERS does to a segment's text; "heard" does nothing.
_NUMBERS = {"spoken": spoken_numbers, "written": written}
# Called with the seconds of audio done.
OnProgress = Callable[[float], None]


@dataclass(frozen=True)
class Options:
    """All that decides what a transcript says: the same options and the same sound give the same text.

    The watchlist's names are left out: a transcript is not made again whenever somebody watches another company.
    """

    engine: str
    model: str
    compute_type: str
    beam_size: int
    batch_size: int
    parallel_parts: int
    word_times: bool
    hot_words: bool
    correct_names: bool
    numbers: str
    language: str | None
    prompt: str
    window_s: float
    voice_threshold: float
    pause_s: float
    unheard_s: float
    voice_share: float
    loop_repeats: int
    no_speech_probability: float
    mean_log_probability: float
    compression_ratio: float
    rules_version: int = RULES_VERSION

    @classmethod
    def from_settings(cls, settings: ASRSettings) -> "Options":
        """The options that the settings ask for; a model's folder counts by its name."""
        names = cls.__dataclass_fields__.keys() - {"model", "rules_version"}
        chosen = {name: getattr(settings, name) for name in names}
        return cls(model=Path(settings.model).name, **chosen)

    @property
    def rules(self) -> Rules:
        """Those of them that say what was invented."""
        return Rules(**{name: getattr(self, name) for name in Rules.__dataclass_fields__})

    @property
    def digest(self) -> str:
        """32 hex digits that name these options."""
        return derived_id("transcript options", json.dumps(asdict(self), sort_keys=True, ensure_ascii=False))


class Transcriber:
    """Holds the model, which is loaded at the first use. Recordings are transcribed one at a time."""

    def __init__(self, settings: Settings) -> None:
        self.options = Options.from_settings(settings.asr)
        self._settings = settings
        self._engine: Engine | None = None
        self._turn = threading.Lock()

    def load(self) -> Engine:
        """Load the model unless it is there; its files are fetched first when they are absent. Raises SpeechModelError."""
        if self._engine is None:
            self._engine = load_engine(self._settings)
        return self._engine

    def transcribe(
        self,
        path: Path,
        on_progress: OnProgress = lambda _seconds: None,
        chunks: Chunks | None = None,
        *,
        names: Sequence[str] = (),
    ) -> Transcript:
        """Write down what is said in an audio or video file; windows that `chunks` has are not listened to again.

        `names` of the watchlist are recognised by their sound, and hinted at when the options say so.

        Silence, noise and music yield no text. Raises AudioError, SpeechModelError, and what model_path and `chunks` raise.
        """
        settings, options = self._settings.asr, self.options
        kept = Nowhere() if chunks is None else chunks
        hot_words = "，".join(names) if options.hot_words else ""
        audio.refuse_larger(path.name, path.stat().st_size if path.is_file() else 0, settings.limit_bytes)
        audio.refuse_longer(path, settings.limit_s)
        track = audio.speech_track(path, lambda tracks: most_spoken(tracks, options.voice_threshold))
        heard: list[Heard] = []
        languages: list[str] = []
        duration = 0.0
        with self._turn:
            sound = audio.within(audio.decode(path, track), settings.limit_s, path)
            for window in audio.windows(sound, options.window_s):
                chunk = kept.find(window.start_s)
                if chunk is None:
                    chunk = self._window(window, on_progress, hot_words)
                    if not window.last:
                        kept.keep(chunk)
                heard += chunk.heard
                languages += chunk.languages
                duration = window.end_s
                on_progress(duration)
        sifted = sift(tidy(heard), options.rules, hot_words)
        segments = sifted.kept
        if options.correct_names and names:
            segments = Names(names).correct(segments)
        if change := _NUMBERS.get(options.numbers):
            segments = tuple(each.model_copy(update={"text": change(each.text)}) for each in segments)
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return Transcript(
            media_sha256=sha256,
            model=options.model,
            options_hash=options.digest,
            language=options.language or (max(set(languages), key=languages.count) if languages else "und"),
            duration_s=round(duration, 3),
            text="\n".join(segment.text for segment in segments),
            segments=segments,
            removed=sifted.removed,
        )

    def _window(self, window: audio.Window, on_progress: OnProgress, hot_words: str) -> Chunk:
        done = window.start_s

        def progress(spoken: SpokenSegment) -> None:
            nonlocal done
            done = min(done + max(0.0, spoken.end_s - spoken.start_s), window.end_s)
            on_progress(done)

        found = sorted(self._listen(window, hot_words, progress), key=lambda one: one[0].segment.start)
        heard, languages = zip(*found, strict=True) if found else ((), ())
        return Chunk(window.start_s, window.end_s, tuple(heard), tuple(languages))

    def _listen(
        self, window: audio.Window, hot_words: str, progress: Callable[[SpokenSegment], None]
    ) -> Iterator[tuple[Heard, str]]:
        """What is said in the window, several parts at once; then what a second look finds where a voice was passed over."""
        options = self.options
        spoken_in = voices(window.samples, options.voice_threshold)
        length = len(window.samples) / audio.SAMPLE_RATE
        clips = stretches(spoken_in, length, options.pause_s)
        first: list[SpokenSegment] = []
        for spoken in self._hear(window, clips, hot_words):
            first.append(spoken)
            progress(spoken)
        first.sort(key=lambda spoken: spoken.start_s)
        # Shown its own words, a model that repeats itself goes on to the end; without them it hears what was said.
        loops = looping([spoken.text for spoken in first], options.loop_repeats)
        written: Spans = []
        for spoken, again in zip(first, loops, strict=True):
            if not again:
                written.append((spoken.start_s, spoken.end_s))
            yield replace(_heard(spoken, spoken_in, window.start_s, length), loops=again), spoken.language
        for spoken in self._hear(window, unheard(spoken_in, written, options.unheard_s), hot_words):
            progress(spoken)
            yield _heard(spoken, spoken_in, window.start_s, length), spoken.language

    def _hear(self, window: audio.Window, clips: Spans, hot_words: str) -> Iterator[SpokenSegment]:
        if not clips:
            return
        options = self.options
        decoding = Decoding(
            language=options.language,
            beam_size=options.beam_size,
            batch_size=options.batch_size,
            prompt=options.prompt,
            hot_words=hot_words,
            word_times=options.word_times,
        )
        engine = self.load()

        def listen(part: Spans) -> Iterator[SpokenSegment]:
            begin, end = (int(moment * audio.SAMPLE_RATE) for moment in (part[0][0], part[-1][1]))
            offset = begin / audio.SAMPLE_RATE
            shifted = [(max(0.0, start - offset), stop - offset) for start, stop in part]
            for spoken in engine.listen(window.samples[begin:end], shifted, decoding):
                yield spoken.later(offset)

        parts = in_parts(window.samples, clips, options.parallel_parts)
        yield from side_by_side([partial(listen, part) for part in parts], engine.at_once)


def _heard(spoken: SpokenSegment, spoken_in: Spans, offset: float, length: float) -> Heard:
    def second(moment: float) -> float:
        return round(offset + min(max(moment, 0.0), length), 2)

    said = Segment(
        start=second(spoken.start_s),
        end=second(spoken.end_s),
        text=" ".join(spoken.text.split()),
        words=tuple(
            Word(
                start=second(word.start_s),
                end=second(word.end_s),
                text=word.text.strip(),
                probability=round(min(word.probability, 1.0), 3),
            )
            for word in spoken.words
        ),
    )
    voice_s = overlap(spoken_in, min(spoken.start_s, length), min(spoken.end_s, length))
    # JSON, in which finished windows are kept, has no infinity.
    return Heard(said, voice_s, spoken.no_speech_probability, max(spoken.mean_log_probability, -100.0))
