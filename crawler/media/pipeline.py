"""Recordings that a page names: fetched before the page goes on to its batch, or written with its record again later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DontCloseSpider

from crawler.canonical import url_hash
from crawler.media.fetch import Fetched, Recordings
from crawler.retries import Failure, Tried, Try
from crawler.site_crawler import FetchedPage, LateRecordings, SiteCrawler, of
from yuqing.contracts import MediaReference, RawDocument, read_raw_document
from yuqing.errors import ContractError, YuqingError
from yuqing.gzip_lines import DamagedObject, gzip_lines
from yuqing.objects import ObjectMissing

_LOOK_EVERY_S = 0.5  # whether the run has been stopped meanwhile
_ON_ITS_WAY = "it takes long to fetch; the page's record comes again when it is there"


class MediaPipeline:
    """Adds the recordings to the pages' records.

    A page waits for its recordings for crawler.media_wait_s; then it goes on without those that are still on their way,
    and its record is written once more when they are there. A recording that cannot be had is named in the record with
    the reason; a later run tries again, and then writes the record once more, too.
    """

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self.recordings = Recordings(crawler)
        self._following: set[asyncio.Task[None]] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        pipeline = cls(of(crawler))
        crawler.signals.connect(pipeline.idle, signals.spider_idle)
        return pipeline

    async def process_item(self, item: FetchedPage | LateRecordings) -> FetchedPage | LateRecordings:
        """Add `media` to the page's record; or fetch what an earlier run could not."""
        try:
            if isinstance(item, LateRecordings):
                await self._late(item.failures)
            elif item.media_urls:
                await self._add(item)
        except YuqingError as problem:
            self.crawler.give_up(problem)  # the page must not be settled without its recording
            raise
        return item

    def idle(self) -> None:
        """The run is not at its end while recordings are on their way. Raises DontCloseSpider."""
        if self._following:
            raise DontCloseSpider

    async def close_spider(self) -> None:
        """What is still on its way when the run is stopped is left to the next one."""
        self.recordings.cancel()
        for task in self._following:
            task.cancel()

    async def _add(self, item: FetchedPage) -> None:
        page = item.record["url"]
        tasks = {url: self.recordings.fetch(url, page) for url in item.media_urls}
        late = await self._wait(tasks.values())
        fetched = [_result(url, task) for url, task in tasks.items()]
        item.record["media"], item.recordings = _media(item.record["canonical_url"], fetched)
        if late and not self.crawler.ending:
            task = asyncio.create_task(self._follow(dict(item.record), tasks))
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    async def _wait(self, tasks: Iterable[asyncio.Task[Fetched]]) -> set[asyncio.Task[Fetched]]:
        """Wait for recordings until the page must go on, or the run is at its end; those that are on their way still."""
        end = monotonic() + self.crawler.options.media_wait_s
        late = {task for task in tasks if not task.done()}
        while late and (left := end - monotonic()) > 0 and not self.crawler.ending:
            _, late = await asyncio.wait(late, timeout=min(left, _LOOK_EVERY_S))
        return late

    async def _follow(self, record: dict[str, Any], tasks: dict[str, asyncio.Task[Fetched]]) -> None:
        """Write the page's record again when the last of its recordings is there, or cannot be had."""
        await asyncio.wait(tasks.values())
        try:
            fetched = [task.result() for task in tasks.values()]
        except YuqingError as problem:
            self.crawler.give_up(problem)
            return
        canonical = record["canonical_url"]
        record["media"], recordings = _media(canonical, fetched)
        self.crawler.batches.add(record, {url_hash(canonical)}, recordings=recordings, known=True)

    async def _late(self, failures: Sequence[Failure]) -> None:
        """Recordings of one page: its record is written again when one of them is there now."""
        retries, batches = self.crawler.retries, self.crawler.batches
        page = failures[0].page or ""
        fetched = await asyncio.gather(*(self.recordings.fetch(failure.url, page) for failure in failures))
        lacking: dict[str, Try] = {}
        for failure, one in zip(failures, fetched, strict=True):
            if one.reference.error and one.again:
                lacking[failure.url] = one.outcome
                retries.failed_again(failure, one.reference.error, one.outcome)
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
        tried = [
            Tried(record.canonical_url, one.url, one.error, lacking[one.url])
            if one.url in lacking
            else Tried(record.canonical_url, one.url)
            for one in media
        ]
        # All else stays, also the time of fetching: the page has not been looked at again.
        again = record.model_copy(update={"media": tuple(media), "run_id": self.crawler.report.run_id})
        batches.add(again.model_dump(), {url_hash(record.canonical_url)}, recordings=tried, known=True)

    def _record(self, failure: Failure) -> RawDocument | None:
        """The record of the page that lacks the recording; None when its batch has gone, never came to be, or is damaged."""
        try:
            lines = gzip_lines(self.crawler.store.get(failure.batch or ""))
        except (ObjectMissing, DamagedObject):
            return None
        for line in lines:
            try:
                document = read_raw_document(line)
            except ContractError:
                continue
            if document.kind == "page" and document.canonical_url == failure.page:
                return document
        return None


def _result(url: str, task: asyncio.Task[Fetched]) -> Fetched:
    return task.result() if task.done() else Fetched(MediaReference(url=url, error=_ON_ITS_WAY), again=True)


def _media(page: str, fetched: Sequence[Fetched]) -> tuple[list[dict[str, Any]], list[Tried]]:
    """The record's `media`, and which of them later runs are to try again."""
    tried = [Tried(page, one.reference.url, one.reference.error if one.again else None, one.outcome) for one in fetched]
    return [one.reference.model_dump() for one in fetched], tried
