"""Sound and files for the tests, made by NumPy and PyAV."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hertz: float = 440) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(int(seconds * RATE), np.float32)


def pink_noise(seconds: float) -> NDArray[np.float32]:
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(count))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count)
    return (0.5 * noise / np.abs(noise).max()).astype(np.float32)


def music(seconds: float) -> NDArray[np.float32]:
    """Plucked chords, two a second."""
    rng = np.random.default_rng(2)
    sound = np.zeros(int(seconds * RATE), np.float32)
    for start in range(0, len(sound), RATE // 2):
        beat = np.arange(min(RATE // 2, len(sound) - start)) / RATE
        root = rng.integers(0, 12)
        for step in (0, 4, 7):
            for harmonic in (1, 2, 3):
                hertz = 220 * 2 ** ((root + step) / 12) * harmonic
                sound[start : start + len(beat)] += np.sin(2 * np.pi * hertz * beat) * np.exp(-4 * beat) / harmonic
    return 0.5 * sound / np.abs(sound).max()


def applause(seconds: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    sound = np.zeros(int(seconds * RATE), np.float32)
    for start in rng.integers(0, len(sound) - 400, int(100 * seconds)):
        sound[start : start + 400] += rng.standard_normal(400) * np.exp(-np.arange(400) / 60)
    return 0.5 * sound / np.abs(sound).max()


def write(
    path: Path,
    samples: NDArray[np.float32] | None,
    *,
    codec: str,
    rate: int = RATE,
    layout: str = "mono",
    picture: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write one audio track (the same sound on all channels), a few black pictures, or both; `options` are the container's."""
    with av.open(str(path), "w", container_options=options or {}) as container:
        video = container.add_stream("mpeg4", rate=5) if picture else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout=layout) if samples is not None else None
        if video is not None:
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None and samples is not None:
            interleaved = np.repeat(samples, av.AudioLayout(layout).nb_channels)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
            frame.sample_rate = rate
            to_codec = av.AudioResampler(format=audio.format.name, layout=layout, rate=rate, frame_size=1024)
            for piece in [*to_codec.resample(frame), *to_codec.resample(None)]:
                container.mux(audio.encode(piece))
            container.mux(audio.encode(None))
    return path
