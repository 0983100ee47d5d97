"""Recordings are told by their content."""

import pytest

from crawler.media.content import NoRecording, is_playlist, sniff


@pytest.mark.parametrize(
    ("head", "extension"),
    [
        (b"ID3\x04\x00", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"\x00\x00\x00\x20ftypisom", "mp4"),
        (b"\x00\x00\x00\x20ftypM4A ", "m4a"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "wav"),
        (b"OggS\x00", "ogg"),
        (b"fLaC\x00", "flac"),
        (b"\x1aE\xdf\xa3", "webm"),
        (b"G" + bytes(187) + b"G" + bytes(10), "ts"),
    ],
)
def test_types_by_content(head: bytes, extension: str) -> None:
    assert sniff(head).extension == extension


@pytest.mark.parametrize(
    ("head", "reason"),
    [(b"<!DOCTYPE html>", "a page"), (b"#EXTM3U\n#EXT-X", "neither"), (b"", "neither"), (b"\x89PNG\r\n", "neither")],
)
def test_what_is_no_recording(head: bytes, reason: str) -> None:
    with pytest.raises(NoRecording, match=reason):
        sniff(head)


@pytest.mark.parametrize(
    ("head", "playlist"),
    [
        (b"#EXTM3U\n#EXT-X", True),
        (b"\xef\xbb\xbf#EXTM3U\n", True),
        (b"\n#EXTM3U", True),
        (b"# EXTM3U", False),
        (b"", False),
    ],
)
def test_playlists(head: bytes, playlist: bool) -> None:
    assert is_playlist(head) is playlist
