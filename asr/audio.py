"""Any audio or video file to 16 kHz mono samples, through PyAV: no system ffmpeg, bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from yuqing.errors import YuqingError

SAMPLE_RATE = 16_000  # what Whisper and Silero were trained on
# FFmpeg's names of the containers that carry speech. Playlists and concatenations (hls, dash, concat) stay out: they make the
# reader open whatever other files and addresses they name.
CONTAINERS = (
    "aac",
    "aiff",
    "amr",
    "asf",
    "avi",
    "caf",
    "flac",
    "flv",
    "matroska",
    "mov",
    "mp3",
    "mp4",
    "mpeg",
    "mpegts",
    "ogg",
    "w64",
    "wav",
    "webm",
)
_FULL_SCALE = 32768.0  # of 16-bit samples
_QUIET_S = 0.2  # a pause between two words
_SEARCH_S = 30.0  # of a window's end that is searched for such a pause; Whisper's own window

Samples = NDArray[np.float32]


class AudioError(YuqingError):
    """A file that cannot be transcribed whatever one tries; the message names the file and the reason."""


class NotMedia(AudioError):
    """The file is no audio or video of a known kind, or is damaged beyond reading."""


class NoSound(AudioError):
    """The file is readable but has no audio track, or one without a single sample."""


@dataclass(frozen=True)
class Window:
    """A stretch of a recording: seconds from its start, and 16 kHz mono samples in [-1, 1]."""

    start_s: float
    samples: Samples


def _open(path: Path) -> Any:
    if not path.is_file():
        raise NotMedia(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if path.stat().st_size == 0:
        raise NotMedia(f"{path} is empty")
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    try:
        return av.open(str(path), container_options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotMedia(
            f"{path.name} is no audio or video that can be read: {reason}",
            cure="give a whole file of " + ", ".join(CONTAINERS),
        ) from None


def _track(container: Any, path: Path) -> Any:
    """The audio track that a player would choose: the default one, or the one with most channels."""
    track = container.streams.best("audio")
    if track is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise NoSound(f"{path.name} has no audio track (it holds {kinds})")
    return track


def claimed_duration(path: Path) -> float | None:
    """Seconds that the container says it lasts; good for a progress bar and nothing else. Raises NotMedia, NoSound."""
    with _open(path) as container:
        track = _track(container, path)
        if track.duration is not None and track.time_base is not None:
            return float(track.duration * track.time_base)
        return container.duration / av.time_base if container.duration else None


def decode(path: Path) -> Iterator[Samples]:
    """The recording as 16 kHz mono chunks of some thousand samples, read as they are asked for.

    Damaged packets are skipped. Raises NotMedia when not one frame can be decoded, NoSound.
    """
    with _open(path) as container:
        track = _track(container, path)
        track.thread_type = "AUTO"
        # Integers: FFmpeg then scales the mix of many channels so that it does not clip.
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        decoded, damage = False, ""
        for packet in _packets(container, track):
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                damage = str(error.strerror)
                continue
            for frame in frames:
                decoded = True
                yield from _resample(resampler, frame)
        if not decoded:
            if damage:
                raise NotMedia(f"{path.name}: the audio track is damaged: {damage}")
            raise NoSound(f"{path.name} has an audio track without sound")
        yield from _resample(resampler, None)


def _packets(container: Any, track: Any) -> Iterator[Any]:
    # A container that breaks off in the middle raises here: what came before it still counts.
    try:
        yield from container.demux(track)
    except av.error.FFmpegError:
        return


def _resample(resampler: Any, frame: Any) -> Iterator[Samples]:
    for resampled in resampler.resample(frame):
        yield resampled.to_ndarray().reshape(-1).astype(np.float32) / _FULL_SCALE


def windows(path: Path, seconds: float) -> Iterator[Window]:
    """The recording in windows of at most `seconds`, each ending where it is quietest, so that no word is cut.

    Memory is bounded by one window. Raises NotMedia, NoSound.
    """
    limit = int(seconds * SAMPLE_RATE)
    held: list[Samples] = []
    size = start = 0
    for chunk in decode(path):
        held.append(chunk)
        size += len(chunk)
        while size >= limit:
            samples = np.concatenate(held)
            cut = quietest(samples[:limit])
            yield Window(start / SAMPLE_RATE, samples[:cut])
            start += cut
            held, size = [samples[cut:]], size - cut
    if size:
        yield Window(start / SAMPLE_RATE, np.concatenate(held))


def quietest(samples: Samples) -> int:
    """The middle of the quietest _QUIET_S within the last _SEARCH_S, at most half, of samples that last longer than two."""
    step = int(_QUIET_S * SAMPLE_RATE)
    count = max(1, min(int(_SEARCH_S * SAMPLE_RATE), len(samples) // 2) // step)
    tail = samples[len(samples) - count * step :].reshape(count, step)
    # Of equally quiet places the last one: windows are as long as they can be.
    quietest = count - 1 - int(np.argmin(np.square(tail).mean(axis=1)[::-1]))
    return len(samples) - count * step + quietest * step + step // 2
