"""faster-whisper (CTranslate2): the engine for work. Several times as fast as the reference in half the memory."""

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.audio import SAMPLE_RATE, quietest
from asr.engines.engine import Decoding, Samples, Spans, SpeechModelError, SpokenSegment, SpokenWord
from yuqing.settings import ASRSettings

_WINDOW_S = 30.0  # what Whisper hears at once
# mallopt's parameters (malloc.h) and values. Blocks from 4 MiB on go back to the system when they are freed, and threads
# share two heaps: without these, two threads kept 100 MiB of a bulletin's peak of 690 (base, two cores), at the same speed.
_MALLOPT = {-3: 4 * 2**20, -8: 2}  # M_MMAP_THRESHOLD, M_ARENA_MAX


@dataclass(frozen=True)
class FasterWhisper:
    """A CTranslate2 model; `at_once` threads share its weights, each with its share of the cores."""

    model: Any
    at_once: int = 1

    @classmethod
    def load(cls, folder: Path, settings: ASRSettings) -> "FasterWhisper":
        """Load the folder's CTranslate2 weights; the number of mel bands comes with them. Raises SpeechModelError."""
        from faster_whisper import WhisperModel  # takes a second to import

        if not folder.is_dir():
            raise SpeechModelError(
                f"{folder} is no folder with CTranslate2 weights",
                cure="a single .pt file is for YUQING_ASR__ENGINE=openai-whisper",
            )
        _give_memory_back()
        threads = settings.threads or len(os.sched_getaffinity(0))
        at_once = min(settings.parallel_parts, threads)
        try:
            model = WhisperModel(
                str(folder),
                device=settings.device,
                compute_type=settings.compute_type,
                cpu_threads=threads // at_once,
                num_workers=at_once,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise SpeechModelError(
                f"the speech model in {folder} cannot be loaded: {error}",
                cure=f"try `yuqing models verify {settings.model}`, and check YUQING_ASR__DEVICE and YUQING_ASR__COMPUTE_TYPE",
            ) from None
        return cls(model, at_once)

    def listen(self, samples: Samples, clips: Spans, decoding: Decoding) -> Iterator[SpokenSegment]:
        """See Engine."""
        options: dict[str, Any] = {
            "language": decoding.language,
            "beam_size": decoding.beam_size,
            "initial_prompt": decoding.prompt or None,
            "hotwords": decoding.hot_words or None,
            "word_timestamps": decoding.word_times,
            "temperature": 0.0,
            "no_speech_threshold": None,
            "log_prob_threshold": None,
            "compression_ratio_threshold": None,
        }
        if decoding.batch_size > 1:
            from faster_whisper import BatchedInferencePipeline

            segments, info = BatchedInferencePipeline(self.model).transcribe(
                samples,
                clip_timestamps=[{"start": start, "end": end} for start, end in pieces(samples, clips)],
                batch_size=decoding.batch_size,
                without_timestamps=False,
                vad_filter=False,
                **options,
            )
        else:
            segments, info = self.model.transcribe(
                samples, clip_timestamps=[moment for clip in clips for moment in clip], **options
            )
        for segment in segments:
            yield SpokenSegment(
                start_s=segment.start,
                end_s=segment.end,
                text=segment.text,
                words=tuple(
                    SpokenWord(float(word.start), float(word.end), word.word, float(word.probability))
                    for word in segment.words or ()
                ),
                no_speech_probability=segment.no_speech_prob,
                mean_log_probability=segment.avg_logprob,
                compression_ratio=segment.compression_ratio,
                language=info.language,
            )

    def encode(self, samples: Samples) -> NDArray[np.float32]:
        """See Engine."""
        from ctranslate2 import Device
        from faster_whisper.audio import pad_or_trim

        features = pad_or_trim(self.model.feature_extractor(samples[: int(_WINDOW_S * SAMPLE_RATE)]))
        encoded = self.model.encode(features)
        if encoded.device != "cpu":
            encoded = encoded.to_device(Device.cpu)
        vectors: NDArray[np.float32] = np.array(encoded, dtype=np.float32)[0]
        return vectors


def _give_memory_back() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if mallopt is not None:
        for parameter, value in _MALLOPT.items():
            mallopt(parameter, value)


def pieces(samples: Samples, clips: Spans) -> list[tuple[float, float]]:
    """The clips in pieces of at most half a minute, each ending where its second half is quietest. Seconds, in order."""
    limit = int(_WINDOW_S * SAMPLE_RATE)
    found: list[tuple[float, float]] = []
    for clip_start, clip_end in clips:
        start, end = int(clip_start * SAMPLE_RATE), min(int(clip_end * SAMPLE_RATE), len(samples))
        while end - start > limit:
            cut = start + quietest(samples[start : start + limit])
            found.append((start / SAMPLE_RATE, cut / SAMPLE_RATE))
            start = cut
        if end > start:
            found.append((start / SAMPLE_RATE, end / SAMPLE_RATE))
    return found
