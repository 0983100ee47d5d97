"""Acoustic conditions."""

import numpy as np
import pytest

from asr.audio import SAMPLE_RATE
from asr.conditions import CONDITIONS, NOISE_DB, apply_condition, mix, music, pink_noise, silence, telephone
from tests.asr.media import tone


def share(samples: np.ndarray, low: float, high: float) -> float:
    """The part of the energy between two frequencies."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return float(power[(hertz >= low) & (hertz <= high)].sum() / power.sum())


@pytest.mark.parametrize("name", list(CONDITIONS))
def test_a_condition_is_the_same_for_the_same_seed(name: str) -> None:
    speech = tone(1.01)
    once = apply_condition(name, speech, 4)
    assert once.dtype == np.float32
    assert len(once) == len(speech)
    assert np.abs(once).max() <= 1
    assert np.array_equal(once, apply_condition(name, speech, 4))
    assert np.array_equal(once, speech) == (name == "clean")


def test_other_seeds_other_noise() -> None:
    assert not np.array_equal(apply_condition("noise", tone(1), 1), apply_condition("noise", tone(1), 2))


def test_noise_is_as_loud_as_it_says() -> None:
    speech = 0.2 * tone(3)
    noise = mix(speech, pink_noise(3, np.random.default_rng(1)), NOISE_DB) - speech
    decibels = 10 * np.log10(np.square(speech).mean() / np.square(noise).mean())
    assert decibels == pytest.approx(NOISE_DB, abs=0.1)
    assert np.array_equal(mix(speech, silence(3), NOISE_DB), speech)


def test_a_telephone_line_has_a_band() -> None:
    noise = np.random.default_rng(1).standard_normal(3 * SAMPLE_RATE).astype(np.float32) / 8
    line = telephone(noise)
    assert share(line, 300, 3400) > 0.97
    assert share(noise, 300, 3400) < 0.5
    kept, lost = telephone(tone(1, hertz=1000)), telephone(tone(1, hertz=100))
    assert np.corrcoef(kept, tone(1, hertz=1000))[0, 1] > 0.99
    assert np.abs(lost).max() < 0.02


def test_sounds_fill_their_time() -> None:
    for sound in (pink_noise(1.5, np.random.default_rng(1)), music(1.25, np.random.default_rng(1))):
        assert np.abs(sound).max() == pytest.approx(0.5)
    assert len(music(1.25, np.random.default_rng(1))) == 1.25 * SAMPLE_RATE
