"""What every engine does, and how one is chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yuqing.errors import YuqingError
from yuqing.settings import Settings
from yuqing.weights import model_path

Samples = NDArray[np.float32]
Spans = Sequence[tuple[float, float]]


class SpeechModelError(YuqingError):
    """The speech model or its engine cannot be loaded."""


@dataclass(frozen=True)
class SpokenWord:
    """A word (of Chinese: one or a few characters) with its seconds and the probability that the model gave it, in [0, 1]."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True)
class SpokenSegment:
    """A phrase as the model wrote it.

    The probability that nobody speaks, the mean log-probability of the tokens and the ratio to which zlib shrinks the text are
    of the half-minute that it was decoded in. `words` is empty unless they were asked for.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[SpokenWord, ...]
    no_speech_probability: float
    mean_log_probability: float
    compression_ratio: float
    language: str

    def later(self, seconds: float) -> "SpokenSegment":
        """The same, so many seconds later."""
        words = tuple(replace(word, start_s=word.start_s + seconds, end_s=word.end_s + seconds) for word in self.words)
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds, words=words)


@dataclass(frozen=True)
class Decoding:
    """How to listen. `language` None: found from the sound. `prompt` is text said before; `hot_words` are names to expect.

    `batch_size`: half-minutes that are decoded at once, each without the text of the one before; 1: one after the other, with it.
    """

    language: str | None
    beam_size: int
    batch_size: int
    prompt: str
    hot_words: str
    word_times: bool


class Engine(Protocol):
    """A loaded Whisper model. Decoding is at temperature 0 only: falling back to higher ones samples at random, and a job that is
    tried again must say the same. Nothing is left out by thresholds here; the caller judges.
    """

    @property
    def at_once(self) -> int:
        """How many threads may listen at the same time."""
        ...

    def listen(self, samples: Samples, clips: Spans, decoding: Decoding) -> Iterator[SpokenSegment]:
        """What is said in the clips (seconds, in order) of 16 kHz mono samples; seconds count from the samples' start."""
        ...

    def encode(self, samples: Samples) -> NDArray[np.float32]:
        """The encoder's output for the first 30 s of 16 kHz mono samples, padded with silence: (1500, width)."""
        ...


def load_engine(settings: Settings) -> Engine:
    """Load the chosen engine with the chosen model, whose files are fetched first when they are absent.

    Raises SpeechModelError, and what model_path raises.
    """
    from asr.engines.faster import FasterWhisper
    from asr.engines.openai import OpenAIWhisper

    named = Path(settings.asr.model).expanduser()
    place = named if named.exists() else model_path(settings.asr.model, settings)
    if settings.asr.engine == "openai-whisper":
        return OpenAIWhisper.load(place, settings)
    return FasterWhisper.load(place, settings.asr)
