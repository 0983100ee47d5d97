"""A window in parts that are listened to side by side, each by its own thread.

Whisper's decoder writes one token after another and gains little from a second thread; two parts with a thread each take
some 60 % of the time of one part with both (base on two cores, `python benchmarks/asr.py --vary parallel_parts=1,2`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from asr.audio import SAMPLE_RATE, Samples, quietest
from asr.voices import Spans

T = TypeVar("T")

# Seconds. What Whisper hears at once: a shorter part would cost the encoder as much.
_LEAST_S = 30.0
# Seconds on each side of an even division in which a pause is looked for.
_ASIDE_S = 10.0


def in_parts(samples: Samples, clips: Sequence[tuple[float, float]], most: int) -> list[Spans]:
    """The clips (seconds, in order) of 16 kHz mono samples in at most `most` parts of nearly the same length, 30 s at least.

    A part ends between two clips, or inside one where it is quietest near the even division. The same clips give the same parts.
    """
    whole = sum(end - start for start, end in clips)
    count = max(1, min(most, int(whole // _LEAST_S)))
    parts: list[Spans] = [[]]
    room = whole / count
    for start, end in clips:
        while len(parts) < count and end - start > room + _ASIDE_S:
            cut = _quiet_near(samples, start + room)
            parts[-1].append((start, cut))
            parts.append([])
            room += whole / count - (cut - start)
            start = cut
        parts[-1].append((start, end))
        room -= end - start
        if room <= _ASIDE_S and len(parts) < count:
            parts.append([])
            room += whole / count
    return [part for part in parts if part]


def _quiet_near(samples: Samples, second: float) -> float:
    """The second where it is quietest, at most _ASIDE_S away."""
    # The latter half is searched.
    begin, end = (int(max(0.0, moment) * SAMPLE_RATE) for moment in (second - 3 * _ASIDE_S, second + _ASIDE_S))
    return (begin + quietest(samples[begin:end])) / SAMPLE_RATE


def side_by_side(parts: Sequence[Callable[[], Iterator[T]]], threads: int) -> Iterator[T]:
    """What the parts yield, as it comes, with at most `threads` of them at work. A part's error ends all, and is raised."""
    if len(parts) == 1:
        yield from parts[0]()
        return
    ended = threading.Event()
    found: SimpleQueue[T | BaseException | None] = SimpleQueue()

    def work(part: Callable[[], Iterator[T]]) -> None:
        try:
            for item in () if ended.is_set() else part():
                found.put(item)
                if ended.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - raised by the reader
            found.put(error)
        found.put(None)

    with ThreadPoolExecutor(threads, "listen") as pool:
        try:
            for part in parts:
                pool.submit(work, part)
            left = len(parts)
            while left:
                item = found.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    left -= 1
                else:
                    yield item
        finally:
            ended.set()
