"""HLS playlists: what is chosen, what is read, what is refused."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.media.content import NoRecording
from crawler.media.playlists import Key, MasterPlaylist, MediaPlaylist, Resource, parse, whole

URL = "https://cdn.example.cn/v/index.m3u8"


def master(*lines: str) -> MasterPlaylist:
    found = parse("\n".join(["#EXTM3U", *lines]), URL)
    assert isinstance(found, MasterPlaylist)
    return found


def media(*lines: str) -> MediaPlaylist:
    found = parse("\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:9", *lines]), URL)
    assert isinstance(found, MediaPlaylist)
    return found


LOW = ('#EXT-X-STREAM-INF:BANDWIDTH=500000,CODECS="avc1.4d001f,mp4a.40.2",RESOLUTION=640x360', "low.m3u8")
HIGH = ('#EXT-X-STREAM-INF:BANDWIDTH=4000000,CODECS="avc1.4d001f,mp4a.40.2"', "high.m3u8")
MUTE = ('#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.4d001f"', "mute.m3u8")
SOUND = ('#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="mp4a.40.2"', "sound.m3u8")
UNKNOWN = ("#EXT-X-STREAM-INF:BANDWIDTH=2000", "/u/unknown.m3u8")
ENGLISH = ('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",URI="en.m3u8"',)
CHINESE = ('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="中文, 普通话",LANGUAGE="zh-CN",URI="zh.m3u8"',)
DEFAULT = ('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",DEFAULT=YES,URI="default.m3u8"',)
INSIDE = ('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",DEFAULT=YES',)
SUBTITLES = ('#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",URI="subtitles.m3u8"',)


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ((*HIGH, *LOW), "v/low.m3u8"),
        ((*MUTE, *HIGH, *LOW), "v/low.m3u8"),
        ((*LOW, *SOUND), "v/sound.m3u8"),
        ((*LOW, *UNKNOWN), "u/unknown.m3u8"),
        ((*LOW, *ENGLISH, *CHINESE), "v/zh.m3u8"),
        ((*ENGLISH, *CHINESE, *DEFAULT, *SOUND), "v/default.m3u8"),
        ((*INSIDE, *SUBTITLES, *LOW), "v/low.m3u8"),
        (("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"", LOW[0], "# remark", LOW[1]), "v/low.m3u8"),
    ],
)  # fmt: skip
def test_the_smallest_stream_with_the_sound(lines: tuple[str, ...], chosen: str) -> None:
    assert master(*lines).choice() == f"https://cdn.example.cn/{chosen}"


def test_a_mute_playlist() -> None:
    with pytest.raises(NoRecording, match="sound"):
        master(*MUTE).choice()


def test_segments() -> None:
    playlist = media(
        "#EXT-X-MEDIA-SEQUENCE:7",
        '#EXT-X-MAP:URI="init.mp4",BYTERANGE="100@5"',
        "#EXTINF:4.5,题",
        "a.m4s",
        '#EXT-X-KEY:METHOD=AES-128,URI="/key",IV=0xA1',
        "#EXT-X-BYTERANGE:1000@2000",
        "#EXTINF:5,",
        "all.m4s",
        "#EXT-X-BYTERANGE:500",
        "#EXTINF:5,",
        "all.m4s",
        "#EXT-X-GAP",
        "#EXTINF:5,",
        "missing.m4s",
        "#EXT-X-KEY:METHOD=NONE",
        "#EXT-X-DISCONTINUITY",
        "#EXTINF:1,",
        "https://other.example.cn/b.ts",
        "#EXT-X-ENDLIST",
    )
    assert playlist.ended
    assert playlist.seconds == 15.5
    key = Key("https://cdn.example.cn/key", bytes(15) + b"\xa1")
    assert [(one.resource, one.number, one.key, one.stretch) for one in playlist.segments] == [
        (Resource("https://cdn.example.cn/v/a.m4s"), 7, None, 0),
        (Resource("https://cdn.example.cn/v/all.m4s", (2000, 2999)), 8, key, 0),
        (Resource("https://cdn.example.cn/v/all.m4s", (3000, 3499)), 9, key, 0),
        (Resource("https://other.example.cn/b.ts"), 11, None, 1),
    ]
    assert {one.init for one in playlist.segments} == {Resource("https://cdn.example.cn/v/init.mp4", (5, 104))}
    assert not media("#EXTINF:1,", "a.ts").ended


def test_ranges_of_one_file_are_asked_for_at_once() -> None:
    lines = []
    for number in range(6):
        lines += ["#EXT-X-DISCONTINUITY"] if number == 3 else []
        lines += [f"#EXT-X-BYTERANGE:10@{number * 10 + (5 if number > 4 else 0)}", "#EXTINF:1,", "all.ts"]
    merged = whole(media(*lines, "#EXTINF:1,", "a.ts", "#EXTINF:1,", "b.ts"))
    assert [one.resource.part for one in merged.segments] == [(0, 29), (30, 49), (55, 64), None, None]
    assert merged.seconds == 8
    encrypted = media('#EXT-X-KEY:METHOD=AES-128,URI="k"', *lines)
    assert whole(encrypted) == encrypted


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("#EXTINF:1,", "javascript:alert(1)"), "no http"),
        (("#EXTINF:1,", "file:///etc/passwd"), "no http"),
        (("#EXTINF:nan,", "a.ts"), "seconds"),
        (("#EXTINF:-1,", "a.ts"), "seconds"),
        (("#EXT-X-BYTERANGE:x", "#EXTINF:1,", "a.ts"), "number"),
        (("#EXT-X-BYTERANGE:0@9", "#EXTINF:1,", "a.ts"), "empty range"),
        (('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"', "#EXTINF:1,", "a.ts"), "protected"),
        (('#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT="com.apple.streamingkeydelivery"',), "protected"),
        (('#EXT-X-KEY:METHOD=AES-128,URI="skd://k"',), "key"),
        (('#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0xzz',), "key"),
        (("#EXTINF:1,", "a.ts") * 10_001, "more than 10000 segments"),
    ],
)
def test_playlists_that_are_refused(lines: tuple[str, ...], reason: str) -> None:
    with pytest.raises(NoRecording, match=reason) as caught:
        media(*lines)
    assert caught.value.final


def test_other_lists() -> None:
    with pytest.raises(NoRecording, match="list of recordings"):
        parse("#EXTM3U\n#EXTINF:123,song\na.mp3\n", URL)
    with pytest.raises(NoRecording, match="no playlist"):
        parse("<html>", URL)


LINES = st.sampled_from(
    ["#EXTINF:", "#EXT-X-KEY:METHOD=AES-128,URI=", "#EXT-X-BYTERANGE:", "#EXT-X-MAP:URI=", "#EXT-X-STREAM-INF:BANDWIDTH=",
     "#EXT-X-MEDIA:TYPE=AUDIO,URI=", "#EXT-X-MEDIA-SEQUENCE:", "", "#EXT-X-TARGETDURATION:9", "#EXT-X-DISCONTINUITY"]
)  # fmt: skip


@given(st.lists(st.tuples(LINES, st.text(alphabet=string.printable + '中"', max_size=20)), max_size=20))
def test_any_playlist_is_read_or_refused(lines: list[tuple[str, str]]) -> None:
    try:
        found = parse("\n".join(["#EXTM3U", *(tag + text for tag, text in lines)]), URL)
        urls = [found.choice()] if isinstance(found, MasterPlaylist) else [one.resource.url for one in found.segments]
    except NoRecording:
        return
    assert all(url.startswith(("http://", "https://")) for url in urls)
