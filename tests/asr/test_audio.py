"""Decoding: every container to 16 kHz mono, windows that lose nothing, and bad files named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr import audio
from asr.audio import SAMPLE_RATE, NoSound, NotMedia, claimed_duration, decode, windows
from tests.asr.media import silence, tone, write


def loudest_hertz(samples: audio.Samples) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "picture"),
    [
        ("a.wav", "pcm_s16le", 16_000, "mono", False),
        ("a.wav", "pcm_f32le", 192_000, "stereo", False),
        ("a.wav", "pcm_s16le", 48_000, "7.1", False),
        ("a.mp3", "libmp3lame", 44_100, "stereo", False),
        ("a.flac", "flac", 48_000, "mono", False),
        ("a.ogg", "libopus", 48_000, "stereo", False),
        ("a.aac", "aac", 22_050, "mono", False),
        ("a.m4a", "aac", 44_100, "stereo", False),
        ("a.mp4", "aac", 44_100, "stereo", True),
        ("a.mov", "aac", 24_000, "mono", True),
        ("a.mkv", "libopus", 48_000, "stereo", True),
        ("a.webm", "libopus", 48_000, "mono", False),
        ("a.ts", "aac", 48_000, "stereo", True),
        ("a.flv", "libmp3lame", 44_100, "stereo", False),
    ],
)
def test_every_kind_of_file(tmp_path: Path, name: str, codec: str, rate: int, layout: str, picture: bool) -> None:
    path = write(tmp_path / name, tone(3, rate), codec=codec, rate=rate, layout=layout, picture=picture)
    samples = np.concatenate(list(decode(path)))
    assert samples.dtype == np.float32
    assert len(samples) / SAMPLE_RATE == pytest.approx(3, abs=0.15)  # codecs pad
    assert loudest_hertz(samples) == pytest.approx(440, abs=2)
    assert 0.2 < np.abs(samples).max() <= 1.1
    assert claimed_duration(path) == pytest.approx(3, abs=0.2)


def test_windows_join_to_the_whole_and_end_in_pauses(tmp_path: Path) -> None:
    pieces = [tone(50), silence(1), tone(40), silence(1), tone(45)]
    path = write(tmp_path / "a.wav", np.concatenate(pieces), codec="pcm_s16le")
    found = list(windows(decode(path), 60))
    np.testing.assert_array_equal(np.concatenate([w.samples for w in found]), np.concatenate(list(decode(path))))
    ends = [window.start_s for window in found[1:]]
    assert len(ends) == 2
    assert 50 < ends[0] < 51
    assert 91 < ends[1] < 92


@settings(max_examples=60, deadline=None)
@given(st.integers(6400, 40_000), st.data())  # two pauses' worth at least
def test_a_cut_is_never_before_the_middle(count: int, data: st.DataObject) -> None:
    quiet = data.draw(st.integers(0, count))
    samples = np.ones(count, np.float32)
    samples[quiet : quiet + 3200] = 0
    cut = audio.quietest(samples)
    assert count // 2 <= cut <= count
    if quiet >= count // 2 + 3200 and quiet + 3200 <= count:  # wholly within what is searched
        assert quiet - 3200 <= cut <= quiet + 6400


def test_track_is_found_beside_pictures(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", tone(2), codec="aac", picture=True)
    assert loudest_hertz(np.concatenate(list(decode(path)))) == pytest.approx(440, abs=2)


def test_video_without_sound(tmp_path: Path) -> None:
    path = write(tmp_path / "mute.mp4", None, codec="", picture=True)
    with pytest.raises(NoSound, match=r"mute\.mp4 has no audio track \(it holds video\)"):
        list(decode(path))


def test_bad_files_are_named(tmp_path: Path) -> None:
    text = tmp_path / "page.mp3"
    text.write_text("<html><body>404</body></html>" * 100)
    empty = tmp_path / "empty.mp3"
    empty.touch()
    whole = write(tmp_path / "a.mp4", tone(3), codec="aac").read_bytes()
    truncated = tmp_path / "truncated.mp4"
    truncated.write_bytes(whole[: len(whole) // 2])  # the index, at the end, is gone
    random = tmp_path / "random.wav"
    random.write_bytes(np.random.default_rng(0).bytes(50_000))
    for path in (text, empty, truncated, random, tmp_path / "absent.mp3", tmp_path):
        with pytest.raises(NotMedia, match=path.name):
            list(decode(path))


def test_headers_without_sound(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1), codec="pcm_s16le")
    path.write_bytes(path.read_bytes()[:78])  # the header of a wav file, and not one sample
    with pytest.raises(NoSound):
        list(decode(path))


def test_recording_that_breaks_off_is_read_to_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", tone(4), codec="libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert len(np.concatenate(list(decode(path)))) / SAMPLE_RATE == pytest.approx(2, abs=0.2)


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", tone(4), codec="libmp3lame")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    assert len(np.concatenate(list(decode(path)))) / SAMPLE_RATE == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp3"])
def test_playlists_do_not_open_other_files(tmp_path: Path, name: str) -> None:
    secret = write(tmp_path / "secret.mp3", tone(2), codec="libmp3lame")
    playlist = tmp_path / name
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(NotMedia, match=name):
        list(decode(playlist))
