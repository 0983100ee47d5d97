"""Sound and files for the tests, made by NumPy and PyAV."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from asr import conditions
from asr.conditions import silence

__all__ = ["applause", "music", "pink_noise", "silence", "tone", "write"]

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hertz: float = 440) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def pink_noise(seconds: float) -> NDArray[np.float32]:
    return conditions.pink_noise(seconds, np.random.default_rng(1))


def music(seconds: float) -> NDArray[np.float32]:
    return conditions.music(seconds, np.random.default_rng(2))


def applause(seconds: float) -> NDArray[np.float32]:
    return conditions.applause(seconds, np.random.default_rng(3))


def write(
    path: Path,
    samples: NDArray[np.float32] | None,
    *,
    codec: str,
    rate: int = RATE,
    layout: str = "mono",
    picture: bool = False,
    options: dict[str, str] | None = None,
    bit_rate: int | None = None,
) -> Path:
    """Write one audio track (the same sound on all channels), a few black pictures, or both; `options` are the container's."""
    with av.open(str(path), "w", container_options=options or {}) as container:
        video = container.add_stream("mpeg4", rate=5) if picture else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout=layout) if samples is not None else None
        if audio is not None and bit_rate is not None:
            audio.bit_rate = bit_rate
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
