"""Where somebody speaks."""

import numpy as np
import pytest

from asr.audio import SAMPLE_RATE, decode
from asr.voices import most_spoken, overlap, stretches, voices
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.asr.media import music, silence


def test_stretches_join_over_pauses() -> None:
    voices = [(2.0, 5.0), (6.0, 9.0), (20.0, 29.5)]
    assert stretches(voices, 30, 3) == [(1.0, 10.0), (19.0, 30)]
    assert stretches(voices, 30, 20) == [(1.0, 30)]
    assert stretches([], 30, 3) == []
    assert overlap(voices, 4, 7) == pytest.approx(2)
    assert overlap(voices, 10, 19) == 0


def test_the_track_with_speech_is_found() -> None:
    speech = np.concatenate(list(decode(FOLDER / RECORDINGS[0].file)))[: 8 * SAMPLE_RATE]
    assert most_spoken([music(20), np.concatenate([silence(4), speech]), silence(20)], 0.3) == 1
    assert most_spoken([silence(0), silence(3)], 0.3) == 0
    ((start, end), *_) = voices(np.concatenate([silence(4), speech]), 0.3)
    assert 3.5 < start < 5 < end
