"""Recordings are found wherever pages name them, and most pages name none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.media.find import MAX_PER_PAGE, find_media

BASE = "http://example.cn/news/1.html"
PAGE = """<html><head><meta property="og:video" content="/v/clip.mp4"><meta property="og:image" content="/i.jpg"></head>
<body><audio src="/a/one.mp3"></audio><audio><source src="two.ogg"><source src="/a/one.mp3"></audio>
<picture><source srcset="/i.webp"></picture><video poster="/p.jpg"><source src="//cdn.example.cn/three.mp4"></video>
<video src="blob:http://example.cn/1"></video></body></html>"""


def test_recordings_of_a_page() -> None:
    assert find_media(PAGE, BASE) == [
        "http://example.cn/a/one.mp3",
        "http://example.cn/news/two.ogg",
        "http://cdn.example.cn/three.mp4",
        "http://example.cn/v/clip.mp4",
    ]


def test_a_page_without_recordings() -> None:
    assert find_media("<html><body><p>音频 video mp3 .mp3格式 a.mp4</p></body></html>", BASE) == []


def test_not_more_than_a_page_may_name() -> None:
    page = "".join(f'<audio src="/{number}.mp3"></audio>' for number in range(50))
    assert len(find_media(page, BASE)) == MAX_PER_PAGE


def test_what_the_feed_announced_comes_first() -> None:
    assert find_media("<p>正文</p>", BASE, ["/pod.mp3", "mailto:x"]) == ["http://example.cn/pod.mp3"]
    assert find_media('<audio src="/a.mp3">', BASE, ["/pod.mp3", "/a.mp3"])[1:] == ["http://example.cn/a.mp3"]


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ('<META NAME="twitter:player:stream" CONTENT="/t.mp4">', ["/t.mp4"]),
        ('<meta property="og:video" content="/player.html"><meta property="og:video:type" content="text/html">', []),
        ('<meta property="og:video" content="/v.mp4"><meta property="og:video:type" content="text/html">', ["/v.mp4"]),
        ('<meta property="og:audio:secure_url" content="https://example.cn/s">', ["https://example.cn/s"]),
    ],
)
def test_what_is_meant_for_sharing(head: str, found: list[str]) -> None:
    expected = [url if url.startswith("http") else f"http://example.cn{url}" for url in found]
    assert find_media(f"<html><head>{head}</head></html>", BASE) == expected


def ld(value: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps(value, ensure_ascii=False)}</script>'


@pytest.mark.parametrize(
    "value",
    [
        {"@type": "AudioObject", "contentUrl": "/x.mp3"},
        {"@type": ["Thing", "VideoObject"], "contentUrl": ["/x.mp3", 7]},
        {"@graph": [{"@type": "NewsArticle", "video": [{"@type": "VideoObject", "contentUrl": "/x.mp3"}]}]},
        [{"@type": "PodcastEpisode", "associatedMedia": {"@type": "AudioObject", "contentUrl": "/x.mp3"}}],
    ],
)
def test_structured_data(value: Any) -> None:
    broken = '<script type="application/ld+json">{"@type": "AudioObject", broken</script>'
    assert find_media(broken + ld(value), BASE) == ["http://example.cn/x.mp3"]


def test_structured_data_of_other_things() -> None:
    assert find_media(ld({"@type": "ImageObject", "contentUrl": "/x.jpg", "about": "VideoObject"}), BASE) == []
    deep: Any = {"@type": "AudioObject", "contentUrl": "/x.mp3"}
    for _ in range(500):
        deep = [deep]
    assert find_media(ld(deep), BASE) == []


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (r'<script>var p = {"url":"https:\/\/cdn.cn\/a\/1.mp4?t=1\u0026k=2","w":1}</script>', "https://cdn.cn/a/1.mp4?t=1&k=2"),
        (r"<script>player({src: '\u002F\u002fcdn.cn\u002Flive.m3u8'})</script>", "http://cdn.cn/live.m3u8"),
        (r"<script>x='\x2faudio\x2f1.MP3'</script>", "http://example.cn/audio/1.MP3"),
        ("<div data-audio='/s/1.m4a'></div>", "http://example.cn/s/1.m4a"),
        ('<div data-config="{&quot;file&quot;:&quot;//cdn.cn/b.aac#t=1&quot;}"></div>', "http://cdn.cn/b.aac#t=1"),
    ],
)  # fmt: skip
def test_settings_of_players(page: str, found: str) -> None:
    assert find_media(f"<html><body>{page}</body></html>", BASE) == [found]


def test_settings_are_read_only_where_nothing_else_names_a_recording() -> None:
    settings = "<script>var next = ['/n/1.mp4', '/n/2.mp4', '/n/3.mp4', '/n/4.mp4']; a = '.mp4'; b = 'x.mp3'</script>"
    assert find_media(settings + '<video src="/v"></video>', BASE) == ["http://example.cn/v"]
    assert find_media(settings, BASE) == [f"http://example.cn/n/{number}.mp4" for number in (1, 2, 3)]
    blob = '<video src="blob:http://example.cn/1"></video>'
    assert find_media(settings + blob, BASE)[0] == "http://example.cn/n/1.mp4"


@given(st.text(alphabet="<>\"'`\\/u002F.mp3 a=scriptdata-:{}[]@", max_size=300))
def test_any_page_can_be_read(page: str) -> None:
    for wrapped in (
        page,
        f"<script>{page}.mp3</script>",
        f'<script type="application/ld+json">AudioObject{page}</script>',
    ):
        assert all(url.startswith(("http://", "https://")) for url in find_media(wrapped, BASE))
