"""FFmpeg's libraries in a process of their own: joining, measuring, and what they are not let do."""

import asyncio
import hashlib
from pathlib import Path

import av
import pytest

from crawler.media.content import NoRecording, sniff
from crawler.media.join import join, measure
from tests.crawler.media.conftest import MP3, MP4, make_hls, packets


def joined(parts: list[Path], container: str, target: Path) -> bytes:
    asyncio.run(join(parts, container, target))
    return target.read_bytes()


def test_segments_become_one_file_with_the_same_packets(tmp_path: Path) -> None:
    make_hls(MP4, tmp_path, sound_only=True)
    part = tmp_path / "part"
    part.write_bytes(b"".join(path.read_bytes() for path in sorted(tmp_path.glob("*.ts"))))
    data = joined([part], "mpegts", tmp_path / "one")
    assert sniff(data).content_type == "audio/mp4"
    assert packets(tmp_path / "one") == packets(MP4)
    again = joined([part], "mpegts", tmp_path / "two")
    assert hashlib.sha256(again).digest() == hashlib.sha256(data).digest()


def test_parts_whose_clocks_start_anew(tmp_path: Path) -> None:
    make_hls(MP4, tmp_path)
    segments = sorted(tmp_path.glob("*.ts"))
    (tmp_path / "all").write_bytes(b"".join(path.read_bytes() for path in segments))
    # As two parts, then as one in which the clock jumps back in the middle.
    (tmp_path / "twice").write_bytes((tmp_path / "all").read_bytes() * 2)
    for name, parts in (("a", [tmp_path / "all"] * 2), ("b", [tmp_path / "twice"])):
        data = joined(parts, "mpegts", tmp_path / name)
        assert sniff(data).content_type == "video/mp4"
        measured = asyncio.run(measure(tmp_path / name))
        assert measured.seconds == pytest.approx(2 * 29.4, abs=0.5)
        assert (measured.sound, measured.pictures) == (True, True)
        assert packets(tmp_path / name) == packets(MP4) * 2


def test_parts_of_different_formats_and_mute_ones(tmp_path: Path) -> None:
    with pytest.raises(NoRecording, match="different formats"):
        joined([MP4, _other_rate(tmp_path)], "mov", tmp_path / "one")
    make_hls(MP4, tmp_path, kinds=("video",))
    with pytest.raises(NoRecording, match="no sound"):
        joined(sorted(tmp_path.glob("*.ts"))[:1], "mpegts", tmp_path / "two")


def _other_rate(folder: Path) -> Path:
    path = folder / "other.mp4"
    with av.open(str(path), "w") as target:
        track = target.add_stream("aac", rate=8000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 8000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for packet in [*track.encode(frame), *track.encode(None)]:
            target.mux(packet)
    return path


def test_measuring(tmp_path: Path) -> None:
    measured = asyncio.run(measure(MP3))
    assert measured.seconds == pytest.approx(31.45, abs=0.1)
    assert (measured.sound, measured.pictures) == (True, False)
    (tmp_path / "broken.mp4").write_bytes(MP4.read_bytes()[:10_000])
    with pytest.raises(NoRecording, match="broken"):
        asyncio.run(measure(tmp_path / "broken.mp4"))


def test_no_file_makes_it_read_others(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:40\n#EXTINF:30,\n{MP3}\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat").write_text(f"ffconcat version 1.0\nfile '{MP3}'\n")
    for name in ("list", "concat"):
        with pytest.raises(NoRecording, match="broken"):
            asyncio.run(measure(tmp_path / name))
