"""Where somebody speaks: Silero's voice detector, which comes with faster-whisper."""

from collections.abc import Sequence

from asr.audio import SAMPLE_RATE, Samples

Spans = list[tuple[float, float]]

# Seconds kept around a voice: a soft first or last syllable lies outside what the detector hears.
_MARGIN_S = 1.0
_LEAST_S = 0.1  # shorter sounds hold no word
_SLICE_S = 60.0  # the detector looks at all it is given at once, and takes memory for it


def voices(samples: Samples, threshold: float) -> Spans:
    """Stretches of 16 kHz mono samples in which there is a voice with at least this probability. Seconds, in order."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found: Spans = []
    step = int(_SLICE_S * SAMPLE_RATE)
    for begin in range(0, len(samples), step):
        piece = samples[begin : begin + step]
        if len(piece) < _LEAST_S * SAMPLE_RATE:
            break
        for span in get_speech_timestamps(piece, VadOptions(threshold=threshold)):
            start, end = ((begin + span[side]) / SAMPLE_RATE for side in ("start", "end"))
            if found and start - found[-1][1] < _MARGIN_S:  # a voice across two slices
                start = found.pop()[0]
            found.append((start, end))
    return found


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


def unheard(voices: Sequence[tuple[float, float]], written: Sequence[tuple[float, float]], least_s: float) -> Spans:
    """Stretches with a voice, at least `least_s` long, for which nothing was written. Seconds, in order.

    Whisper now and then ends its half-minute after a sentence, though somebody goes on speaking.
    """
    found: Spans = []
    for start, end in voices:
        for begin, stop in [*sorted(written), (end, end)]:
            if min(begin, end) - start >= least_s:
                found.append((start, min(begin, end)))
            start = max(start, stop)
    return found


def overlap(voices: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """Seconds of [start, end) in which there is a voice."""
    return sum(max(0.0, min(end, stop) - max(start, begin)) for begin, stop in voices)
