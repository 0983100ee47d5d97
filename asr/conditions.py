"""Acoustic conditions made from clean speech, and sounds without speech: the same ones for the same seed.

Signal-to-noise ratios are of the energies over the whole clip. All functions take and give 16 kHz mono samples in [-1, 1].
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asr.audio import SAMPLE_RATE
from yuqing.errors import YuqingError

Samples = NDArray[np.float32]

# Decibels of speech over what is mixed in: a report from a street, and a trailer's music under a voice.
NOISE_DB = 8.0
MUSIC_DB = 8.0
# The band of a telephone line, and the rate and companding (ITU-T G.711, mu-law) of its samples.
TELEPHONE_BAND = (300.0, 3400.0)
_TELEPHONE_RATE = 8_000
_MU = 255.0


class UnknownCondition(YuqingError):
    """There is no acoustic condition of this name."""


def apply_condition(name: str, speech: Samples, seed: int = 0) -> Samples:
    """Speech as it sounds under a condition of CONDITIONS. Raises UnknownCondition."""
    if name not in CONDITIONS:
        raise UnknownCondition(f"there is no condition {name}", cure="use one of " + ", ".join(CONDITIONS))
    return CONDITIONS[name](speech, np.random.default_rng(seed))


def mix(speech: Samples, other: Samples, decibels: float) -> Samples:
    """Both together, the speech so many decibels above the other; scaled down where the sum would clip."""
    energy = float(np.mean(np.square(other))) or 1.0
    gain = np.sqrt(float(np.mean(np.square(speech))) / energy / 10 ** (decibels / 10))
    mixed = speech + gain * other
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max(initial=0))), np.float32)


def telephone(speech: Samples) -> Samples:
    """Through a telephone line: band-limited, at half the rate, 8 bits a sample."""
    spectrum = np.fft.rfft(speech)
    hertz = np.fft.rfftfreq(len(speech), 1 / SAMPLE_RATE)
    spectrum[(hertz < TELEPHONE_BAND[0]) | (hertz > TELEPHONE_BAND[1])] = 0
    line = np.fft.irfft(spectrum, len(speech))[:: SAMPLE_RATE // _TELEPHONE_RATE]
    line /= max(1.0, float(np.abs(line).max(initial=0)))
    companded = np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)
    coded = np.round(companded * 127) / 127
    received = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(_MU)) / _MU
    # Back to 16 kHz: zeros between the samples, and the images above the line's band cut off.
    stretched = np.zeros(len(speech))
    stretched[:: SAMPLE_RATE // _TELEPHONE_RATE] = received * (SAMPLE_RATE // _TELEPHONE_RATE)
    spectrum = np.fft.rfft(stretched)
    spectrum[hertz > _TELEPHONE_RATE / 2] = 0
    return np.fft.irfft(spectrum, len(speech)).astype(np.float32)


def silence(seconds: float) -> Samples:
    """Digital silence."""
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def pink_noise(seconds: float, rng: np.random.Generator) -> Samples:
    """Noise whose power falls by 3 dB an octave, as that of rooms and streets does."""
    count = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return _half(np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count))


def music(seconds: float, rng: np.random.Generator) -> Samples:
    """Plucked chords with three harmonics, two a second."""
    sound = np.zeros(int(seconds * SAMPLE_RATE))
    beat_length = SAMPLE_RATE // 2
    for start in range(0, len(sound), beat_length):
        beat = np.arange(min(beat_length, len(sound) - start)) / SAMPLE_RATE
        root = rng.integers(0, 12)
        for step in (0, 4, 7):
            for harmonic in (1, 2, 3):
                hertz = 220 * 2 ** ((root + step) / 12) * harmonic
                sound[start : start + len(beat)] += np.sin(2 * np.pi * hertz * beat) * np.exp(-4 * beat) / harmonic
    return _half(sound)


def applause(seconds: float, rng: np.random.Generator) -> Samples:
    """A hundred claps a second, each a burst of noise of a few milliseconds."""
    length = 400
    sound = np.zeros(int(seconds * SAMPLE_RATE) + length)
    for start in rng.integers(0, len(sound) - length, int(100 * seconds)):
        sound[start : start + length] += rng.standard_normal(length) * np.exp(-np.arange(length) / 60)
    return _half(sound[:-length])


def _half(sound: NDArray[np.float64]) -> Samples:
    return (0.5 * sound / max(1e-9, float(np.abs(sound).max(initial=0)))).astype(np.float32)


def _over(
    sound: Callable[[float, np.random.Generator], Samples], speech: Samples, rng: np.random.Generator, decibels: float
) -> Samples:
    return mix(speech, sound((len(speech) + 1) / SAMPLE_RATE, rng)[: len(speech)], decibels)


CONDITIONS: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "clean": lambda speech, rng: speech,
    "noise": lambda speech, rng: _over(pink_noise, speech, rng, NOISE_DB),
    "music": lambda speech, rng: _over(music, speech, rng, MUSIC_DB),
    "telephone": lambda speech, rng: telephone(speech),
    "telephone-noise": lambda speech, rng: telephone(_over(pink_noise, speech, rng, NOISE_DB)),
}
