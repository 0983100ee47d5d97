"""Recordings are found on pages and told by their content."""

import pytest

from crawler.media import MAX_PER_PAGE, NoRecording, find_media, sniff

PAGE = """<html><head><meta property="og:video" content="/v/clip.mp4"><meta property="og:image" content="/i.jpg"></head>
<body><audio src="/a/one.mp3"></audio><audio><source src="two.ogg"><source src="/a/one.mp3"></audio>
<picture><source srcset="/i.webp"></picture><video poster="/p.jpg"><source src="//cdn.example.cn/three.mp4"></video>
<video src="blob:http://example.cn/1"></video></body></html>"""


def test_recordings_of_a_page() -> None:
    assert find_media(PAGE, "http://example.cn/news/1.html") == [
        "http://example.cn/v/clip.mp4",
        "http://example.cn/a/one.mp3",
        "http://example.cn/news/two.ogg",
        "http://cdn.example.cn/three.mp4",
    ]


def test_a_page_without_recordings() -> None:
    assert find_media("<html><body><p>音频 video</p></body></html>", "http://example.cn/") == []


def test_not_more_than_a_page_may_name() -> None:
    page = "".join(f'<audio src="/{number}.mp3"></audio>' for number in range(50))
    assert len(find_media(page, "http://example.cn/")) == MAX_PER_PAGE


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
    [(b"<!DOCTYPE html>", "a page"), (b"#EXTM3U\n#EXT-X", "playlist"), (b"", "neither"), (b"\x89PNG\r\n", "neither")],
)
def test_what_is_no_recording(head: bytes, reason: str) -> None:
    with pytest.raises(NoRecording, match=reason):
        sniff(head)
