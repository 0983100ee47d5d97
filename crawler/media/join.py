"""Reading recordings with FFmpeg's libraries, in a process of its own: what the web sends may hang or crash them.

`python -m crawler.media.join` takes one JSON request on standard input and answers with one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crawler.media.content import NoRecording

# FFmpeg's names of the containers that are read. Playlists and concatenations (hls, dash, concat) stay out: they make
# the reader open whatever other files and addresses they name.
CONTAINERS = (
    "aac", "aiff", "amr", "asf", "avi", "caf", "flac", "flv", "matroska", "mov", "mp3", "mp4", "mpeg", "mpegts", "ogg",
    "w64", "wav", "webm",
)  # fmt: skip
_SECONDS = 120  # for a recording of 512 MiB on a busy machine; measured: 1 s for 100 MB
_MEMORY = 2 * 2**30
# Clocks jump where advertisements were cut in; FFmpeg's own threshold for it (-dts_delta_threshold) is 10 s.
_JUMP_S = 10.0
# Codecs that play in MP4 everywhere; anything else stays in a transport stream.
_IN_MP4 = {"aac", "alac", "mp3", "ac3", "eac3", "opus", "flac", "h264", "hevc", "av1", "mpeg4"}


@dataclass(frozen=True)
class Measured:
    """A file's seconds (None when it does not say) and whether it has sound and pictures."""

    seconds: float | None
    sound: bool
    pictures: bool


async def measure(path: Path) -> Measured:
    """Look at a recording. Raises NoRecording when it cannot be read."""
    return Measured(**await _ask({"measure": str(path)}))


async def join(parts: Sequence[Path], container: str, target: Path) -> None:
    """Put the parts of one recording into one file, without touching sound and pictures.

    The parts are of one format each and follow each other in time; `container` is FFmpeg's name of theirs. Raises
    NoRecording.
    """
    await _ask({"join": [str(part) for part in parts], "container": container, "target": str(target)})


async def _ask(request: dict[str, Any]) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "crawler.media.join",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(2 * _SECONDS):
            output, _ = await child.communicate(json.dumps(request).encode())
    except TimeoutError:
        raise NoRecording(f"it could not be read within {2 * _SECONDS} s", final=True) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    status = child.returncode or 0
    if status:
        reason = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise NoRecording(f"reading it ended with {reason}", final=True)
    answer: dict[str, Any] = json.loads(output)
    if "problem" in answer:
        raise NoRecording(answer["problem"])
    return answer


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    import av

    av.logging.set_level(None)
    request = json.load(sys.stdin)
    try:
        if "measure" in request:
            answer = asdict(_measure(request["measure"]))
        else:
            _join(request["join"], request["container"], request["target"])
            answer = {}
    except NoRecording as problem:
        answer = {"problem": str(problem)}
    except (av.error.FFmpegError, ValueError, OSError) as problem:
        answer = {"problem": f"broken: {getattr(problem, 'strerror', None) or problem}"}
    json.dump(answer, sys.stdout)


def _open(path: str, container: str | None = None) -> Any:
    import av

    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    return av.open(path, format=container, container_options=options)


def _measure(path: str) -> Measured:
    import av

    with _open(path) as container:
        kinds = {stream.type for stream in container.streams}
        seconds = container.duration / av.time_base if container.duration else None
        return Measured(seconds, "audio" in kinds, "video" in kinds)


def _join(parts: Sequence[str], container: str, target: str) -> None:
    import av

    with _open(parts[0], container) as first:
        chosen = _tracks(first)
        formats = {kind: _format(track) for kind, track in chosen.items()}
        if "audio" not in chosen:
            raise NoRecording("it has no sound")
        names = {track.codec_context.codec.canonical_name for track in chosen.values()}
        if names == {"mp3"}:
            output = "mp3"
        elif names <= _IN_MP4:
            output = "mp4" if "video" in chosen else "ipod"
        else:
            output = "mpegts"
        # Bit-exact: equal recordings give equal files, whatever day and release it is.
        settings = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if output in ("mp4", "ipod") else {})
        with av.open(target, "w", format=output, options=settings) as joined:
            tracks = {kind: joined.add_stream_from_template(track) for kind, track in chosen.items()}
            clock = _Clock()
            clock.copy(first, chosen, joined, tracks)
            for part in parts[1:]:
                with _open(part, container) as following:
                    chosen = _tracks(following)
                    if {kind: _format(track) for kind, track in chosen.items()} != formats:
                        raise NoRecording("its parts are of different formats")
                    clock.copy(following, chosen, joined, tracks)


def _tracks(container: Any) -> dict[str, Any]:
    """The sound and the picture that a player would choose."""
    found = {kind: container.streams.best(kind) for kind in ("video", "audio")}
    return {kind: track for kind, track in found.items() if track is not None}


def _format(track: Any) -> tuple[Any, ...]:
    codec = track.codec_context
    return (
        (codec.codec.canonical_name, codec.sample_rate, codec.channels)
        if track.type == "audio"
        else (codec.codec.canonical_name,)
    )


class _Clock:
    """Puts packets on one clock, although the parts' clocks start anew or jump. Times are in seconds."""

    def __init__(self) -> None:
        self._shift = 0.0
        self._ends: dict[str, float] = {}
        self._last: dict[str, int] = {}

    def copy(self, source: Any, chosen: dict[str, Any], target: Any, tracks: dict[str, Any]) -> None:
        """Write a part's packets."""
        for packet in source.demux(list(chosen.values())):
            if packet.dts is None:
                continue  # the end
            kind, unit = packet.stream.type, float(packet.time_base)
            begin = packet.dts * unit
            expected = self._ends.get(kind, max(self._ends.values(), default=begin))
            if abs(begin + self._shift - expected) > _JUMP_S:
                self._shift = expected - begin
            shift = round(self._shift / unit)
            delay = max(0, packet.pts - packet.dts) if packet.pts is not None else 0
            # Decoding times must rise; where a cut makes them fall, the packets are moved by as little as it takes.
            packet.dts = max(packet.dts + shift, self._last.get(kind, packet.dts + shift - 1) + 1)
            packet.pts = packet.dts + delay
            self._last[kind] = packet.dts
            self._ends[kind] = (packet.dts + (packet.duration or 0)) * unit
            packet.stream = tracks[kind]
            target.mux(packet)


if __name__ == "__main__":
    _main()
