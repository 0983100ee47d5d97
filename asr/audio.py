"""Any audio or video file to 16 kHz mono samples, through PyAV: no system ffmpeg, bounded memory."""

from collections.abc import Callable, Iterator, Sequence
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
_SAMPLE_S = 120.0  # of each track, by which the one with speech is found: longer than a programme's opening music
_CHINESE = frozenset({"zh", "zho", "chi", "cmn", "yue"})  # ISO 639 tags of tracks
_SEARCH_S = 30.0  # of a window's end that is searched for such a pause; Whisper's own window

Samples = NDArray[np.float32]


class AudioError(YuqingError):
    """A file that cannot be transcribed whatever one tries; the message names the file and the reason."""


class NotMedia(AudioError):
    """The file is no audio or video of a known kind, or is damaged beyond reading."""


class NoSound(AudioError):
    """The file is readable but has no audio track, or one without a single sample."""


class Encrypted(AudioError):
    """The audio track is encrypted (DRM); without its key there is nothing to hear."""


class TooLong(AudioError):
    """The recording, or what a small file unpacks to, lasts longer than the settings allow."""


class TooLarge(AudioError):
    """The file has more bytes than the settings allow."""


# Of each audio track's first minutes, in the container's order: which one to take.
Choose = Callable[[Sequence[Samples]], int]


@dataclass(frozen=True)
class Window:
    """A stretch of a recording: seconds from its start, 16 kHz mono samples in [-1, 1], and whether nothing follows."""

    start_s: float
    samples: Samples
    last: bool

    @property
    def end_s(self) -> float:
        """Seconds from the recording's start."""
        return self.start_s + len(self.samples) / SAMPLE_RATE


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


def _tracks(container: Any, path: Path) -> list[Any]:
    """The audio tracks, in Chinese when some say that they are."""
    tracks = list(container.streams.audio)
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise NoSound(f"{path.name} has no audio track (it holds {kinds})")
    return [track for track in tracks if (track.language or "").lower() in _CHINESE] or tracks


def speech_track(path: Path, choose: Choose) -> int:
    """Index among the container's streams of the track to listen to: the one in Chinese, by its language tag; of several the one
    that `choose` takes by their first _SAMPLE_S seconds (fewer when they are shorter or broken). Raises NotMedia, NoSound.
    """
    with _open(path) as container:
        indices: list[int] = [track.index for track in _tracks(container, path)]
    if len(indices) == 1:
        return indices[0]
    return indices[choose([_beginning(path, index) for index in indices])]


def _beginning(path: Path, index: int) -> Samples:
    held: list[Samples] = [np.zeros(0, np.float32)]
    try:
        for chunk in decode(path, index):
            held.append(chunk)
            if sum(map(len, held)) >= _SAMPLE_S * SAMPLE_RATE:
                break
    except AudioError:
        pass  # a broken or empty track is not the one
    return np.concatenate(held)


def claimed_duration(path: Path) -> float | None:
    """Seconds that the container says it lasts; good for a progress bar and nothing else. Raises NotMedia, NoSound."""
    with _open(path) as container:
        track = _tracks(container, path)[0]
        if track.duration is not None and track.time_base is not None:
            return float(track.duration * track.time_base)
        return container.duration / av.time_base if container.duration else None


def refuse_larger(name: str, size: int, limit: int) -> None:
    """Raise TooLarge for a file of more than `limit` bytes."""
    if size > limit:
        raise TooLarge(
            f"{name} has {size / 2**20:.1f} MiB, more than the {limit / 2**20:.1f} MiB that are allowed",
            cure="raise YUQING_ASR__LIMIT_BYTES",
        )


def refuse_longer(path: Path, limit_s: float) -> None:
    """Raise TooLong for a recording of more than `limit_s` before hours of work are put into it.

    Containers lie: one that claims to be longer is decoded to see (some hundred times as fast as it plays).
    """
    if (claimed_duration(path) or 0) > limit_s:
        for _ in within(decode(path), limit_s, path):
            pass


def within(chunks: Iterator[Samples], limit_s: float, path: Path) -> Iterator[Samples]:
    """The chunks, until they last longer than `limit_s`. Raises TooLong."""
    left = limit_s * SAMPLE_RATE
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise TooLong(
                f"{path.name} is longer than the {limit_s / 3600:g} hours that are allowed",
                cure="raise YUQING_ASR__LIMIT_S",
            )
        yield chunk


def decode(path: Path, index: int | None = None) -> Iterator[Samples]:
    """The recording's track `index` (None: the first, in Chinese when some say that they are) as 16 kHz mono chunks of some
    thousand samples, read as they are asked for.

    Damaged packets are skipped; a change of rate or channels on the way is followed. Raises NotMedia when not one frame can be
    decoded, NoSound, Encrypted.
    """
    with _open(path) as container:
        track = _tracks(container, path)[0] if index is None else container.streams[index]
        track.thread_type = "AUTO"
        resampler, form, damage = _resampler(), None, ""
        for packet in _packets(container, track):
            if packet.has_sidedata("encryption_info"):
                raise Encrypted(
                    f"{path.name} is encrypted (DRM)", cure="ask the publisher for a copy without protection"
                )
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                damage = str(error.strerror)
                continue
            for frame in frames:
                now = (frame.format.name, frame.layout.name, frame.sample_rate)
                if form is not None and now != form:
                    yield from _resample(resampler, None)
                    resampler = _resampler()
                form = now
                yield from _resample(resampler, frame)
        if form is None:
            if damage:
                raise NotMedia(f"{path.name}: the audio track is damaged: {damage}")
            raise NoSound(f"{path.name} has an audio track without sound")
        yield from _resample(resampler, None)


def _resampler() -> Any:
    # Integers: FFmpeg then scales the mix of many channels so that it does not clip.
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _packets(container: Any, track: Any) -> Iterator[Any]:
    # A container that breaks off in the middle raises here: what came before it still counts.
    try:
        yield from container.demux(track)
    except av.error.FFmpegError:
        return


def _resample(resampler: Any, frame: Any) -> Iterator[Samples]:
    for resampled in resampler.resample(frame):
        yield resampled.to_ndarray().reshape(-1).astype(np.float32) / _FULL_SCALE


def windows(chunks: Iterator[Samples], seconds: float) -> Iterator[Window]:
    """A recording's chunks in windows of at most `seconds`, each ending where it is quietest, so that no word is cut.

    Memory is bounded by one window. The same recording gives the same windows.
    """
    limit = int(seconds * SAMPLE_RATE)
    held: list[Samples] = []
    size = start = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        # Not before there is more: an end at the limit is no cut.
        while size > limit:
            samples = np.concatenate(held)
            cut = quietest(samples[:limit])
            yield Window(start / SAMPLE_RATE, samples[:cut], last=False)
            start += cut
            held, size = [samples[cut:]], size - cut
    if size:
        yield Window(start / SAMPLE_RATE, np.concatenate(held), last=True)


def quietest(samples: Samples) -> int:
    """The middle of the quietest _QUIET_S within the last _SEARCH_S, at most half, of samples that last longer than two."""
    step = int(_QUIET_S * SAMPLE_RATE)
    count = max(1, min(int(_SEARCH_S * SAMPLE_RATE), len(samples) // 2) // step)
    tail = samples[len(samples) - count * step :].reshape(count, step)
    # Of equally quiet places the last one: windows are as long as they can be.
    quietest = count - 1 - int(np.argmin(np.square(tail).mean(axis=1)[::-1]))
    return len(samples) - count * step + quietest * step + step // 2
