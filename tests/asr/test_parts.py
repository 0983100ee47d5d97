"""A window's parts, and listening to several at once."""

import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio import SAMPLE_RATE, Samples
from asr.parts import in_parts, side_by_side

NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, 300 * SAMPLE_RATE).astype(np.float32)


def with_pauses(*seconds: float) -> Samples:
    sound = NOISE.copy()
    for second in seconds:
        sound[int((second - 0.3) * SAMPLE_RATE) : int((second + 0.3) * SAMPLE_RATE)] = 0
    return sound


def test_cut_in_a_pause_near_the_even_division() -> None:
    first, second = in_parts(with_pauses(40, 143, 172), [(0.0, 300.0)], 2)
    ((start, cut),), ((again, end),) = first, second
    assert (start, end) == (0, 300)
    assert cut == again == pytest.approx(143, abs=0.4)


def test_no_cut_where_the_clips_divide_themselves() -> None:
    clips = [(0.0, 80.0), (120.0, 150.0), (160.0, 290.0)]
    assert in_parts(NOISE, clips, 2) == [clips[:2], clips[2:]]


def test_short_sounds_stay_whole() -> None:
    assert in_parts(NOISE, [(0.0, 59.0)], 4) == [[(0.0, 59.0)]]
    assert len(in_parts(NOISE, [(0.0, 95.0)], 4)) == 3
    assert in_parts(NOISE, [(0.0, 300.0)], 1) == [[(0.0, 300.0)]]


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 300), max_size=16), st.integers(1, 6))
def test_parts_are_the_clips_in_order(moments: set[int], most: int) -> None:
    edges = [float(moment) for moment in sorted(moments)]
    clips = list(zip(edges[::2], edges[1::2], strict=False))
    whole = sum(end - start for start, end in clips)
    parts = in_parts(NOISE, clips, most)
    joined: list[tuple[float, float]] = []
    for start, end in (clip for part in parts for clip in part):
        assert start < end
        if joined and joined[-1][1] == start and (start, end) not in clips:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    assert joined == clips
    assert len(parts) <= max(1, min(most, int(whole // 30)))
    longest = max((sum(end - start for start, end in part) for part in parts), default=0.0)
    assert longest <= whole / max(1, min(most, int(whole // 30))) + 20 + 1e-6


def test_parts_are_at_work_at_once() -> None:
    together = threading.Barrier(2, timeout=20)

    def part(name: str) -> Iterator[str]:
        for number in range(3):
            together.wait()
            yield f"{name}{number}"

    found = list(side_by_side([partial(part, "a"), partial(part, "b")], 2))
    assert sorted(found) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert [item for item in found if item[0] == "a"] == ["a0", "a1", "a2"]


def test_no_more_at_once_than_asked_for() -> None:
    at_work, most = [0], [0]

    def part() -> Iterator[int]:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        yield at_work[0]
        at_work[0] -= 1

    assert len(list(side_by_side([part] * 5, 1))) == 5
    assert most == [1]


def test_an_error_ends_all_parts() -> None:
    taken: list[int] = []
    begun, failed = threading.Event(), threading.Event()

    def broken() -> Iterator[int]:
        begun.wait(20)
        failed.set()
        raise ValueError("no more memory")
        yield 0

    def long() -> Iterator[int]:
        for number in range(10_000_000):
            begun.set()
            failed.wait(20)
            taken.append(number)
            yield number

    with pytest.raises(ValueError, match="no more memory"):
        list(side_by_side([broken, long, long], 2))
    assert len(taken) < 10_000_000


def test_who_reads_no_further_ends_all_parts() -> None:
    threads = threading.active_count()
    endless = partial(iter, lambda: 1, 0)
    reading = side_by_side([endless, endless], 2)
    assert next(reading) == 1
    assert isinstance(reading, Iterator)
    reading.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
