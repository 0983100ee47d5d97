"""Recordings that a page names: fetched within limits, told by their content, stored once under their sha256."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http.request import NO_CALLBACK

from crawler.canonical import url_hash
from crawler.media.content import SNIFF_BYTES, MediaType, NoRecording, is_playlist, sniff
from crawler.media.join import measure
from crawler.media.segments import Limits, fetch_playlist
from crawler.media.transfer import Transfer, TransferRefused
from crawler.middlewares.robots import ForbiddenByRobots
from crawler.retries import Failure, Tried
from crawler.site_crawler import MEDIA, FetchedPage, LateRecordings, SiteCrawler, of
from yuqing.contracts import MediaReference, RawDocument, read_raw_document
from yuqing.errors import ContractError, YuqingError
from yuqing.objects import ObjectMissing

_GONE = frozenset({404, 410})
_FURTHER_TRIES = 5  # of one body; each goes on where the last one broke
_AT_ONCE = 8  # recordings on their way, each with a file of its own


@dataclass(frozen=True)
class Fetched:
    """A recording, or why there is none; `again`: a later run may have more luck."""

    reference: MediaReference
    again: bool = False


class MediaPipeline:
    """Fetches a page's recordings before the page goes on to its batch; each address once a run.

    A recording that cannot be had is named in the page's record with the reason, and never holds the page up. A later
    run tries again, and then writes the page's record once more.
    """

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self._fetches: dict[str, asyncio.Task[Fetched]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler))

    async def process_item(self, item: FetchedPage | LateRecordings) -> FetchedPage | LateRecordings:
        """Add `media` to the page's record; or fetch what an earlier run could not."""
        if isinstance(item, LateRecordings):
            await self._late(item.failures)
        elif item.media_urls:
            fetched = await self._all(item.media_urls, item.record["url"])
            item.record["media"] = [one.reference.model_dump() for one in fetched]
            item.recordings = [_tried(item.record["canonical_url"], one) for one in fetched]
        return item

    async def _late(self, failures: Sequence[Failure]) -> None:
        """Recordings of one page: its record is written again when one of them is there now."""
        retries, batches = self.crawler.retries, self.crawler.batches
        fetched = await self._all([failure.url for failure in failures], failures[0].page or "")
        lacking = set()
        for failure, one in zip(failures, fetched, strict=True):
            if one.reference.error and one.again:
                lacking.add(failure.url)
                retries.failed_again(failure, one.reference.error)
            elif one.reference.error:
                retries.drop(failure)
        there = {one.reference.url: one.reference for one in fetched if not one.reference.error}
        if not there:
            return
        record = await asyncio.to_thread(self._record, failures[0])
        if record is None:
            for failure in failures:
                retries.drop(failure)
            return
        media = [there.get(old.url, old) for old in record.media]
        tried = [Tried(record.canonical_url, one.url, one.error if one.url in lacking else None) for one in media]
        # All else stays, also the time of fetching: the page has not been looked at again.
        again = record.model_copy(update={"media": tuple(media), "run_id": self.crawler.report.run_id})
        batches.add(again.model_dump(), {url_hash(record.canonical_url)}, recordings=tried, known=True)

    def _record(self, failure: Failure) -> RawDocument | None:
        """The record of the page that lacks the recording; None when its batch has gone or never came to be."""
        try:
            lines = gzip.decompress(self.crawler.store.get(failure.batch or "")).splitlines()
        except ObjectMissing:
            return None
        for line in lines:
            try:
                document = read_raw_document(line)
            except ContractError:
                continue
            if document.kind == "page" and document.canonical_url == failure.page:
                return document
        return None

    async def _all(self, urls: Sequence[str], page: str) -> list[Fetched]:
        for url in urls:
            if url not in self._fetches:
                self._fetches[url] = asyncio.create_task(self._fetch(url, page))
        return await asyncio.gather(*(self._fetches[url] for url in urls))

    async def _fetch(self, url: str, page: str) -> Fetched:
        async with self._gate:
            with tempfile.TemporaryDirectory(prefix="yuqing-media-") as folder:
                try:
                    reference = await self._store(url, page, Path(folder))
                except YuqingError as problem:
                    self.crawler.give_up(problem)  # the page must not be settled without its recording
                    raise
                except Exception as problem:  # noqa: BLE001 — whatever the web does to us is a reason, not a crash
                    reason = str(problem) or type(problem).__name__
                    self.crawler.report.media_failed += 1
                    self.crawler.report.error(url, f"recording: {reason}")
                    return Fetched(MediaReference(url=url, error=reason), again=not _is_final(problem))
        self.crawler.report.media += 1
        return Fetched(reference)

    async def _store(self, url: str, page: str, folder: Path) -> MediaReference:
        options = self.crawler.options
        path = folder / "recording"

        async def get(address: str, transfer: Transfer) -> Transfer:
            return await self._get(address, page, transfer)

        transfer = await get(url, Transfer(path, options.media_bytes, options.media_timeout_s))
        sha256 = transfer.sha256
        if is_playlist(transfer.head):
            limits = Limits(
                options.media_bytes, options.media_seconds, options.media_timeout_s, self.crawler.site.delay
            )
            path = await fetch_playlist(get, transfer.url or url, path, folder, limits)
            sha256 = await asyncio.to_thread(_sha256, path)
        kind = await asyncio.to_thread(_sniff, path)
        measured = await measure(path)
        if not measured.sound:
            raise NoRecording("it has no sound", final=True)
        if measured.seconds and measured.seconds > options.media_seconds:
            raise NoRecording(
                f"{measured.seconds:.0f} s long, more than {options.media_seconds:g} (crawler.media_seconds)",
                final=True,
            )
        key = f"media/{sha256[:2]}/{sha256}.{kind.extension}"
        store = self.crawler.store
        if not await asyncio.to_thread(store.exists, key):
            await asyncio.to_thread(store.put_file, key, path, content_type=kind.content_type)
        return MediaReference(
            url=url, sha256=sha256, s3_key=key, content_type=kind.content_type, bytes=path.stat().st_size
        )

    async def _get(self, url: str, page: str, transfer: Transfer) -> Transfer:
        """Fetch through the crawler's middlewares: the guard, robots.txt, delays, retries, proxies."""
        request = Request(
            url,
            headers={"Referer": page, "Accept": "*/*", "Accept-Encoding": "identity"},
            meta={"role": MEDIA, "to_file": transfer, "max_retry_times": _FURTHER_TRIES},
            callback=NO_CALLBACK,
            dont_filter=True,
        )
        response = await self.crawler.engine.download_async(request)
        if response.status != 200:
            raise NoRecording(f"HTTP {response.status}", final=response.status in _GONE)
        transfer.url = response.url
        return transfer


def _tried(page: str, fetched: Fetched) -> Tried:
    return Tried(page, fetched.reference.url, fetched.reference.error if fetched.again else None)


def _is_final(problem: Exception) -> bool:
    if isinstance(problem, (NoRecording, TransferRefused)):
        return problem.final
    return isinstance(problem, ForbiddenByRobots)


def _sniff(path: Path) -> MediaType:
    with path.open("rb") as body:
        return sniff(body.read(SNIFF_BYTES))


def _sha256(path: Path) -> str:
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()
