"""Where somebody speaks: Silero's voice detector, which comes with faster-whisper."""

from collections.abc import Sequence

from asr.audio import SAMPLE_RATE, Samples

Spans = list[tuple[float, float]]

# Seconds kept around a voice: a soft first or last syllable lies outside what the detector hears.
_MARGIN_S = 1.0
_LEAST_S = 0.1  # shorter sounds hold no word


def voices(samples: Samples, threshold: float) -> Spans:
    """Stretches of 16 kHz mono samples in which there is a voice with at least this probability. Seconds, in order."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    if len(samples) < _LEAST_S * SAMPLE_RATE:
        return []
    found = get_speech_timestamps(samples, VadOptions(threshold=threshold))
    return [(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in found]


def most_spoken(tracks: Sequence[Samples], threshold: float) -> int:
    """Index of the track in which somebody speaks longest; of equals the first."""
    spoken = [sum(end - start for start, end in voices(samples, threshold)) for samples in tracks]
    return spoken.index(max(spoken))


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
