"""Recordings that a page names: found, fetched with a limit, told by their content, stored once under their sha256."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from parsel import Selector
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http.request import NO_CALLBACK

from crawler.canonical import join
from crawler.site_crawler import MEDIA, FetchedPage, SiteCrawler, of
from yuqing.contracts import MediaReference
from yuqing.errors import YuqingError

MAX_PER_PAGE = 10
# Looked for first: parsing every page to find that most have no recording would double the cost of a page.
_HINTS = ("<audio", "<video", "og:audio", "og:video")
_SOURCES = (
    "//audio/@src | //video/@src | //audio//source/@src | //video//source/@src"
    " | //meta[@property='og:audio' or @property='og:audio:url' or @property='og:audio:secure_url'"
    " or @property='og:video' or @property='og:video:url' or @property='og:video:secure_url']/@content"
)


@dataclass(frozen=True)
class MediaType:
    """What a recording is: content type and the extension of its key."""

    content_type: str
    extension: str


class NoRecording(ValueError):
    """The bytes are no audio or video that is known here."""


def find_media(html: str, base_url: str) -> list[str]:
    """Addresses of the recordings that a page names, in its order, at most MAX_PER_PAGE."""
    folded = html.lower()
    if not any(hint in folded for hint in _HINTS):
        return []
    found = (join(base_url, link) for link in Selector(html).xpath(_SOURCES).getall() if link.strip())
    return list(dict.fromkeys(url for url in found if url))[:MAX_PER_PAGE]


def sniff(head: bytes) -> MediaType:
    """The type by the first bytes (SNIFF_BYTES of them), whatever name and header say. Raises NoRecording."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return MediaType("audio/mp4", "m4a") if brand in (b"M4A ", b"M4B ") else MediaType("video/mp4", "mp4")
    if head[:4] == b"RIFF":
        if head[8:12] == b"WAVE":
            return MediaType("audio/wav", "wav")
        if head[8:12] == b"AVI ":
            return MediaType("video/x-msvideo", "avi")
    for magic, content_type, extension in (
        (b"ID3", "audio/mpeg", "mp3"),
        (b"OggS", "application/ogg", "ogg"),
        (b"fLaC", "audio/flac", "flac"),
        (b"\x1aE\xdf\xa3", "video/webm", "webm"),
        (b"FLV\x01", "video/x-flv", "flv"),
        (b"#!AMR", "audio/amr", "amr"),
    ):
        if head.startswith(magic):
            return MediaType(content_type, extension)
    if len(head) > 188 and head[0] == 0x47 and head[188] == 0x47:
        return MediaType("video/mp2t", "ts")
    if len(head) > 1 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return MediaType("audio/aac", "aac")  # ADTS: sync word, layer 0
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
            return MediaType("audio/mpeg", "mp3")  # MPEG audio frame: sync word, a layer that exists
    if head.lstrip().startswith(b"#EXTM3U"):
        raise NoRecording("a playlist (HLS); only single files are fetched")
    if head.lstrip()[:1] == b"<":
        raise NoRecording("a page, not a recording")
    raise NoRecording("neither audio nor video of a known type")


class MediaPipeline:
    """Fetches a page's recordings before the page goes on to its batch; each address once a run.

    A recording that cannot be had is named in the page's record with the reason, and never holds the page up.
    """

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self._fetches: dict[str, asyncio.Task[MediaReference]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler))

    async def process_item(self, item: FetchedPage) -> FetchedPage:
        """Add `media` to the page's record."""
        if item.media_urls:
            for url in item.media_urls:
                if url not in self._fetches:
                    self._fetches[url] = asyncio.create_task(self._fetch(url, item.record["url"]))
            references = await asyncio.gather(*(self._fetches[url] for url in item.media_urls))
            item.record["media"] = [reference.model_dump() for reference in references]
        return item

    async def _fetch(self, url: str, page: str) -> MediaReference:
        with tempfile.TemporaryDirectory(prefix="yuqing-media-") as folder:
            path = Path(folder) / "recording"
            try:
                reference = await self._store(url, page, path)
            except YuqingError as problem:
                self.crawler.give_up(problem)  # the page must not be settled without its recording
                raise
            except Exception as problem:  # noqa: BLE001 — whatever the web does to us is a reason, not a crash
                self.crawler.report.media_failed += 1
                self.crawler.report.error(url, f"recording: {problem}")
                return MediaReference(url=url, error=str(problem) or type(problem).__name__)
        self.crawler.report.media += 1
        return reference

    async def _store(self, url: str, page: str, path: Path) -> MediaReference:
        request = Request(
            url,
            headers={"Referer": page, "Accept": "*/*", "Accept-Encoding": "identity"},
            meta={"role": MEDIA, "to_file": path},
            callback=NO_CALLBACK,
            dont_filter=True,
        )
        response = await self.crawler.engine.download_async(request)
        if response.status != 200:
            raise NoRecording(f"HTTP {response.status}")
        received = response.meta["received"]
        kind = sniff(received.head)
        sha256 = received.sha256
        key = f"media/{sha256[:2]}/{sha256}.{kind.extension}"
        store = self.crawler.store
        if not await asyncio.to_thread(store.exists, key):
            await asyncio.to_thread(store.put_file, key, path, content_type=kind.content_type)
        return MediaReference(url=url, sha256=sha256, s3_key=key, content_type=kind.content_type, bytes=received.length)
