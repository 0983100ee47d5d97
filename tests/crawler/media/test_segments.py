"""HLS from a server: segments joined, decrypted, in ranges; what is refused, and what is never fetched."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from scrapy import Request
from scrapy.exceptions import DownloadFailedError

from crawler.egress import Egress
from crawler.media.content import NoRecording, sniff
from crawler.media.segments import Limits, decrypt, fetch_playlist
from crawler.media.transfer import Client, Transfer, TransferRefused
from tests.crawler.conftest import Answer, WebServer
from tests.crawler.media.conftest import MP3, MP4, Ranged, make_hls, packets

LIMITS = Limits(size=10**7, length_s=100, time_s=60, delay_s=0)


@pytest.fixture
def fetch(web: WebServer, tmp_path: Path) -> Callable[..., Path]:
    """Fetch a playlist of the server as the pipeline does; each address is tried twice."""
    count = iter(range(100))

    def run(path: str, limits: Limits = LIMITS) -> Path:
        folder = tmp_path / f"fetched-{next(count)}"
        folder.mkdir()

        async def main() -> Path:
            client = Client(Egress(allow_private=True), 5)

            async def get(url: str, transfer: Transfer) -> Transfer:
                try:
                    response = await client.receive(Request(url), transfer)
                except DownloadFailedError:
                    response = await client.receive(Request(url), transfer)
                if response.status != 200:
                    raise NoRecording(f"HTTP {response.status}")
                return transfer

            try:
                first = await get(f"{web.url}{path}", Transfer(folder / "first", 10**6, 10))
                return await fetch_playlist(get, f"{web.url}{path}", first.path, folder, limits)
            finally:
                await client.close()

        return asyncio.run(main())

    return run


def serve(web: WebServer, folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            web.answers[f"/{path.name}"] = Answer(path.read_bytes(), headers={"Content-Type": "text/plain"})


def kind(path: Path) -> str:
    return sniff(path.read_bytes()[:512]).content_type


def test_sound_and_picture(web: WebServer, tmp_path: Path, fetch: Callable[..., Path]) -> None:
    make_hls(MP4, tmp_path)
    serve(web, tmp_path)
    breaking = Ranged((tmp_path / "index-001.ts").read_bytes(), breaks=[1000])
    web.answers["/index-001.ts"] = Answer(behave=breaking.answer)
    found = fetch("/index.m3u8")
    assert kind(found) == "video/mp4"
    assert packets(found) == packets(MP4)
    assert [wanted for wanted, _ in breaking.asked] == [None, "bytes=1000-"]
    with av.open(str(found)) as recording:
        assert {stream.type for stream in recording.streams} == {"audio", "video"}


def test_a_master_playlist_leads_to_the_sound(web: WebServer, tmp_path: Path, fetch: Callable[..., Path]) -> None:
    make_hls(MP4, tmp_path, name="film.m3u8")
    make_hls(MP4, tmp_path, name="sound.m3u8", sound_only=True)
    serve(web, tmp_path)
    web.answers["/master.m3u8"] = Answer(
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="sound.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a",CODECS="avc1.4d001f,mp4a.40.2"\nfilm.m3u8\n'
    )
    found = fetch("/master.m3u8")
    assert kind(found) == "audio/mp4"
    assert packets(found) == packets(MP4)
    assert not any(path.startswith("/film") for path in web.asked)
    web.answers["/loop.m3u8"] = Answer("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmaster.m3u8\n")
    with pytest.raises(NoRecording, match="playlists of playlists"):
        fetch("/loop.m3u8")


@pytest.mark.parametrize("iv", ["", "0123456789abcdef0123456789abcdef"])
def test_encrypted_segments(web: WebServer, tmp_path: Path, fetch: Callable[..., Path], iv: str) -> None:
    key = bytes(range(16))
    (tmp_path / "key.bin").write_bytes(key)
    (tmp_path / "info").write_text(f"key.bin\n{tmp_path / 'key.bin'}\n{iv}\n")
    text = make_hls(MP4, tmp_path, sound_only=True, hls_key_info_file=str(tmp_path / "info"), start_number="3")
    assert "METHOD=AES-128" in text
    if not iv:  # the segment's number is the default
        (tmp_path / "index.m3u8").write_text(re.sub(",IV=0x[0-9a-f]{32}", "", text))
    serve(web, tmp_path)
    found = fetch("/index.m3u8")
    assert packets(found) == packets(MP4)
    assert web.asked["/key.bin"] == 1
    web.answers["/key.bin"] = Answer(bytes(16))
    with pytest.raises(NoRecording):
        fetch("/index.m3u8")
    web.answers["/key.bin"] = Answer(b"<html>login</html>")
    with pytest.raises(NoRecording, match="key has 18 bytes"):
        fetch("/index.m3u8")


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_fragments_of_one_file(web: WebServer, tmp_path: Path, fetch: Callable[..., Path], knows_ranges: bool) -> None:
    make_hls(
        MP4, tmp_path, hls_segment_type="fmp4", hls_flags="single_file", hls_segment_filename=str(tmp_path / "all.m4s")
    )
    serve(web, tmp_path)
    ranged = Ranged((tmp_path / "all.m4s").read_bytes())
    if knows_ranges:
        web.answers["/all.m4s"] = Answer(behave=ranged.answer)
    found = fetch("/index.m3u8")
    assert kind(found) == "video/mp4"
    assert packets(found) == packets(MP4)
    assert web.asked["/all.m4s"] == 2, "the initialisation section, and all fragments at once"


def test_packed_audio(web: WebServer, tmp_path: Path, fetch: Callable[..., Path]) -> None:
    # Frames of MP3 behind the ID3 tag that tells their time (RFC 8216, 3.4).
    sound = MP3.read_bytes()
    with av.open(str(MP3)) as recording:
        frames = [packet.pos for packet in recording.demux(audio=0) if packet.dts is not None]
    tag = b"ID3\x04\x00\x00\x00\x00\x08\x00" + bytes(1024)
    half = frames[len(frames) // 2]
    web.answers["/0"], web.answers["/1"] = Answer(tag + sound[frames[0] : half]), Answer(tag + sound[half:])
    web.answers["/p"] = Answer("#EXTM3U\n#EXT-X-TARGETDURATION:16\n#EXTINF:16,\n0\n#EXTINF:16,\n1\n#EXT-X-ENDLIST\n")
    found = fetch("/p")
    assert kind(found) == "audio/mpeg"
    assert packets(found) == packets(MP3)


def test_what_is_refused(web: WebServer, tmp_path: Path, fetch: Callable[..., Path]) -> None:
    text = make_hls(MP4, tmp_path, sound_only=True)
    serve(web, tmp_path)

    def refused(path: str, limits: Limits = LIMITS) -> NoRecording:
        web.asked.clear()
        with pytest.raises(NoRecording) as caught:
            fetch(path, limits)
        return caught.value

    web.answers["/live"] = Answer(text.replace("#EXT-X-ENDLIST", ""))
    live = refused("/live")
    assert ("no end yet" in str(live), live.final) == (True, False)
    longer = refused("/index.m3u8", Limits(10**7, 20, 60, 0))
    assert ("crawler.media_seconds" in str(longer), longer.final) == (True, True)
    slower = refused("/index.m3u8", Limits(10**7, 100, 1, 1.0))
    assert ("at this site's delay" in str(slower), slower.final) == (True, True)
    assert not any(path.endswith(".ts") for path in web.asked), "nothing is fetched of what is refused"
    with pytest.raises((TransferRefused, NoRecording), match="larger than 100000"):
        fetch("/index.m3u8", Limits(100_000, 100, 60, 0))
    web.answers["/empty"] = Answer("#EXTM3U\n#EXT-X-TARGETDURATION:16\n#EXT-X-ENDLIST\n")
    assert "without segments" in str(refused("/empty"))
    # A segment that is a page, a playlist that would have FFmpeg read files, or of another kind.
    web.answers["/index-001.ts"] = Answer("<html>login</html>" * 50)
    assert "a page" in str(refused("/index.m3u8"))
    web.answers["/index-001.ts"] = Answer(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{MP3}\n#EXT-X-ENDLIST\n"
    )
    assert "neither audio nor video" in str(refused("/index.m3u8"))
    web.answers["/index-001.ts"] = Answer(MP3.read_bytes())
    assert "different formats" in str(refused("/index.m3u8"))
    del web.answers["/index-001.ts"]
    assert str(refused("/index.m3u8")) == "HTTP 404"


def test_decryption_refuses_what_does_not_fit() -> None:
    for data in (b"", b"x" * 15, bytes(16)):
        with pytest.raises(NoRecording, match="decrypted"):
            decrypt(data, bytes(16), bytes(16))
