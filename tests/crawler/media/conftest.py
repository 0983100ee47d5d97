"""Small playlists of the newsroom's recordings, made with PyAV, and a server that breaks off."""

from collections.abc import Collection, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av

from examples.newsroom.recordings import FOLDER

MP3 = FOLDER / "morning-bulletin.mp3"
MP4 = FOLDER / "evening-report.mp4"


def make_hls(
    source: Path,
    folder: Path,
    *,
    name: str = "index.m3u8",
    kinds: Collection[str] = ("audio", "video"),
    sound_only: bool = False,
    **options: str,
) -> str:
    """Cut a recording into an HLS playlist, its segments beside it; returns its text."""
    chosen = ("audio",) if sound_only else kinds
    settings = {
        "hls_time": "5",
        "hls_playlist_type": "vod",
        "hls_segment_filename": str(folder / (Path(name).stem + "-%03d.ts")),
        **options,
    }
    with av.open(str(source)) as recording, av.open(str(folder / name), "w", format="hls", options=settings) as target:
        sources = [stream for stream in recording.streams if stream.type in chosen]
        tracks = {stream.index: target.add_stream_from_template(stream) for stream in sources}
        for packet in recording.demux(sources):
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
    return (folder / name).read_text()


def packets(path: Path) -> list[int]:
    """Lengths of the sound's packets without what the container adds to each (ADTS has 7 bytes of its own)."""
    with av.open(str(path)) as recording:
        return [packet.size for packet in recording.demux(audio=0) if packet.dts is not None]


class Ranged:
    """A body whose server knows ranges, and breaks off after so many bytes of each answer while `breaks` has some."""

    def __init__(self, body: bytes, *, breaks: Sequence[int] = (), etag: str | None = '"1"') -> None:
        self.body, self.breaks, self.etag = body, list(breaks), etag
        self.asked: list[tuple[str | None, str | None]] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """For Answer(behave=...)."""
        wanted, condition = handler.headers["Range"], handler.headers["If-Range"]
        self.asked.append((wanted, condition))
        first, last = 0, len(self.body) - 1
        partial = bool(wanted and (condition is None or condition == self.etag))
        if partial:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(last, int(end or last))
        body = self.body[first : last + 1]
        if partial and first >= len(self.body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.body)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if partial else 200)
        if partial:
            handler.send_header("Content-Range", f"bytes {first}-{last}/{len(self.body)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.breaks:
            handler.wfile.write(body[: self.breaks.pop(0)])
            handler.close_connection = True
        else:
            handler.wfile.write(body)
