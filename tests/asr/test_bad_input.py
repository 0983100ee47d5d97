"""Files that are not what they say: each is named and refused, or read as far as it goes, within bounded time and memory."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from asr import audio
from asr.audio import (
    SAMPLE_RATE,
    Encrypted,
    NoSound,
    NotMedia,
    TooLarge,
    TooLong,
    claimed_duration,
    decode,
    speech_track,
)
from asr.transcriber import Transcriber
from asr.voices import most_spoken
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.asr.media import music, silence, tone, write
from yuqing.settings import load_settings


def seconds(path: Path) -> float:
    return sum(map(len, decode(path))) / SAMPLE_RATE


def test_rate_and_channels_may_change_on_the_way(tmp_path: Path) -> None:
    parts = [(44_100, "stereo"), (22_050, "mono"), (48_000, "mono")]
    data = b""
    for rate, layout in parts:
        part = write(tmp_path / "part.mp3", tone(3, rate), codec="libmp3lame", rate=rate, layout=layout)
        data += part.read_bytes()
    path = tmp_path / "joined.mp3"
    path.write_bytes(data)
    samples = np.concatenate(list(decode(path)))
    assert len(samples) / SAMPLE_RATE == pytest.approx(9, abs=0.5)
    for second in (1, 4.5, 7.5):
        piece = samples[int(second * SAMPLE_RATE) :][:8000]
        assert np.argmax(np.abs(np.fft.rfft(piece))) * 2 == pytest.approx(440, abs=4)


def test_a_variable_bit_rate_without_an_index(tmp_path: Path) -> None:
    """Frames of 160 and 32 kbit/s: what is guessed from the first ones is wrong, what is decoded is not."""
    data = b"".join(
        write(
            tmp_path / "part.mp3", tone(4), codec="libmp3lame", bit_rate=rate, options={"write_xing": "0"}
        ).read_bytes()
        for rate in (160_000, 32_000, 160_000, 32_000)
    )
    path = tmp_path / "variable.mp3"
    path.write_bytes(data)
    assert abs((claimed_duration(path) or 0) - 16) > 2, "it is guessed wrong"
    assert seconds(path) == pytest.approx(16, abs=0.5)
    audio.refuse_longer(path, 17)
    with pytest.raises(TooLong):
        list(audio.within(decode(path), 15, path))


@pytest.mark.parametrize("claim", [1, 10**7])
def test_containers_that_lie_about_their_duration(tmp_path: Path, claim: int) -> None:
    path = write(tmp_path / "a.mp4", tone(5), codec="aac")
    data = bytearray(path.read_bytes())
    for box in (b"mvhd", b"mdhd", b"tkhd"):
        place = data.index(box) + 4
        ticks = place + (16 if box != b"tkhd" else 20)
        data[ticks : ticks + 4] = struct.pack(">I", min(claim * 1000, 2**32 - 1))
    path.write_bytes(data)
    assert abs((claimed_duration(path) or 0) - 5) > 1, "it lies"
    assert seconds(path) == pytest.approx(5, abs=0.2)
    audio.refuse_longer(path, 60)


def test_encrypted_track(tmp_path: Path) -> None:
    path = tmp_path / "drm.mp4"
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    write(path, tone(3), codec="aac", options=options)
    with pytest.raises(Encrypted, match=r"drm\.mp4 is encrypted"):
        list(decode(path))


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = write(tmp_path / "bomb.flac", silence(600), codec="flac")
    assert bomb.stat().st_size < 200_000  # of 19 MB
    with pytest.raises(TooLong, match=r"bomb\.flac is longer than the 0\.1 hours"):
        audio.refuse_longer(bomb, 360)
    # One that claims to be short is stopped on the way.
    with pytest.raises(TooLong):
        list(audio.within(decode(bomb), 360, bomb))
    assert sum(map(len, audio.within(decode(bomb), 601, bomb))) == 600 * SAMPLE_RATE


def test_limits_hold_for_files_that_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", silence(70), codec="pcm_s16le")
    with pytest.raises(TooLong):
        Transcriber(load_settings(asr={"limit_s": 60})).transcribe(path)
    with pytest.raises(TooLarge, match=r"a\.wav has 2\.1 MiB, more than the 1\.0 MiB"):
        Transcriber(load_settings(asr={"limit_bytes": 2**20})).transcribe(path)


def test_zero_length_and_no_media_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("这不是视频。" * 1000)
    for name in ("empty.mp4", "text.mp4", "absent.mp4"):
        with pytest.raises(NotMedia, match=name):
            Transcriber(load_settings()).transcribe(tmp_path / name)
    with pytest.raises(NoSound):
        Transcriber(load_settings()).transcribe(write(tmp_path / "mute.mp4", None, codec="", picture=True))


def _two_tracks(path: Path, sounds: list[audio.Samples], languages: list[str]) -> Path:
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") for _ in sounds]
        for track, language in zip(tracks, languages, strict=True):
            track.metadata["language"] = language
        for track, sound in zip(tracks, sounds, strict=True):
            frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="flt", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            to_codec = av.AudioResampler(format=track.format.name, layout="mono", rate=SAMPLE_RATE, frame_size=1024)
            for piece in [*to_codec.resample(frame), *to_codec.resample(None)]:
                container.mux(track.encode(piece))
            container.mux(track.encode(None))
    return path


def test_the_track_with_speech_is_taken(tmp_path: Path) -> None:
    speech = np.concatenate(list(decode(FOLDER / RECORDINGS[0].file)))[: 10 * SAMPLE_RATE]

    def choose(tracks: object) -> int:
        return most_spoken(tracks, 0.3)  # type: ignore[arg-type]

    untagged = _two_tracks(tmp_path / "a.mkv", [music(10), speech], ["und", "und"])
    assert speech_track(untagged, choose) == 1
    tagged = _two_tracks(tmp_path / "b.mp4", [speech, speech * 0.5], ["eng", "chi"])
    assert speech_track(tagged, choose) == 1
    assert np.abs(np.concatenate(list(decode(tagged)))).max() == pytest.approx(np.abs(speech).max() / 2, rel=0.2)
    either = _two_tracks(tmp_path / "c.mkv", [speech, music(10)], ["zho", "zho"])
    assert speech_track(either, choose) == 0
