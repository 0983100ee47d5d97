"""Where somebody speaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.audio import SAMPLE_RATE, decode
from asr.voices import most_spoken, overlap, stretches, unheard, voices
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.asr.media import music, silence


def test_stretches_join_over_pauses() -> None:
    voices = [(2.0, 5.0), (6.0, 9.0), (20.0, 29.5)]
    assert stretches(voices, 30, 3) == [(1.0, 10.0), (19.0, 30)]
    assert stretches(voices, 30, 20) == [(1.0, 30)]
    assert stretches([], 30, 3) == []
    assert overlap(voices, 4, 7) == pytest.approx(2)
    assert overlap(voices, 10, 19) == 0


def test_what_was_passed_over() -> None:
    voices = [(2.0, 17.0), (20.0, 29.5)]
    assert unheard(voices, [(2.4, 11.0), (20.5, 29)], 3) == [(11.0, 17.0)]
    assert unheard(voices, [(9.0, 18.5)], 3) == [(2.0, 9.0), (20.0, 29.5)]
    assert unheard(voices, [(20.0, 30.0), (1.0, 4.0), (3.0, 16.0)], 3) == []
    assert unheard(voices, [], 3) == voices
    assert unheard([], [], 3) == []


MOMENTS = st.integers(0, 60).map(float)


@given(st.sets(MOMENTS, max_size=8), st.lists(st.tuples(MOMENTS, MOMENTS), max_size=6), st.integers(1, 5))
def test_every_second_of_a_voice_is_written_or_heard_again(
    edges: set[float], pairs: list[tuple[float, float]], least: int
) -> None:
    moments, written = sorted(edges), [(min(pair), max(pair)) for pair in pairs]
    voices = list(zip(moments[::2], moments[1::2], strict=False))
    again = unheard(voices, written, 0.5)
    assert again == sorted(again)
    for middle in np.arange(0.5, 60):
        spoken, done, repeated = (overlap(spans, middle - 0.1, middle + 0.1) > 0 for spans in (voices, written, again))
        assert repeated == (spoken and not done)
    assert unheard(voices, written, least) == [(start, end) for start, end in again if end - start >= least]


def test_the_track_with_speech_is_found() -> None:
    speech = np.concatenate(list(decode(FOLDER / RECORDINGS[0].file)))[: 8 * SAMPLE_RATE]
    assert most_spoken([music(20), np.concatenate([silence(4), speech]), silence(20)], 0.3) == 1
    assert most_spoken([silence(0), silence(3)], 0.3) == 0
    ((start, end), *_) = voices(np.concatenate([silence(4), speech]), 0.3)
    assert 3.5 < start < 5 < end
