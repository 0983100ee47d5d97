"""Batches of raw documents: written whole, then followed by the segment of addresses that they settle."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Self

from pydantic import ValidationError
from scrapy.crawler import Crawler

from crawler.report import CrawlReport
from crawler.retries import Retries, Snapshot, Tried
from crawler.seen import SeenUrls, pack, segment_key
from crawler.site_crawler import FetchedPage, LateRecordings, SiteCrawler, of
from yuqing import quarantine
from yuqing.contracts import RawDocument
from yuqing.errors import YuqingError
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore

STAGE = "crawler"


@dataclass
class Batch:
    """What is collected and not yet written.

    size: bytes of the lines and, about, of what is rejected;
    known: how many of the lines repeat a page for the sake of a recording that came later; `opened` is in seconds of
    the monotonic clock.
    """

    lines: list[bytes] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    settles: set[int] = field(default_factory=set)
    recordings: list[Tried] = field(default_factory=list)
    size: int = 0
    known: int = 0
    via_browser: int = 0
    opened: float = field(default_factory=monotonic)

    def __bool__(self) -> bool:
        return bool(self.lines or self.rejected or self.settles)


class BatchWriter:
    """Collects one site's documents and writes them batch by batch, one at a time and in order.

    The order of the writes of a batch is the guarantee: failures, documents, quarantine, seen segment. Killed before
    the documents, the pages are fetched again; killed before the segment, `seen.repair` makes it up from the batch. The
    failures come first because only they know which recordings the settled pages lack.
    """

    def __init__(
        self,
        store: ObjectStore,
        site: str,
        report: CrawlReport,
        retries: Retries,
        seen: SeenUrls,
        *,
        pages: int,
        seconds: float,
        size: int,
    ) -> None:
        self.store, self.site, self.report, self.retries, self.seen = store, site, report, retries, seen
        self._pages, self._seconds, self._size = pages, seconds, size
        self._open = Batch()
        self._writing = asyncio.Lock()
        self.failure: YuqingError | None = None

    def add(
        self,
        record: dict[str, Any],
        settles: Iterable[int],
        *,
        via_browser: bool = False,
        recordings: Sequence[Tried] = (),
        known: bool = False,
    ) -> None:
        """Put a page into the open batch; a record that breaks the contract goes to quarantine with the reason.

        known: the page is on S3 already and is written again for a recording that came later.
        """
        try:
            line = RawDocument.model_validate(record).model_dump_json().encode() + b"\n"
        except (ValidationError, ValueError) as problem:
            self.reject(record, _reason(problem), settles, known=known)
            return
        self._settle_page(settles, known)
        self._open.lines.append(line)
        self._open.recordings += recordings
        self._open.known += known
        self.report.collected += not known
        self._open.size += len(line)
        self._open.via_browser += via_browser

    def reject(self, record: dict[str, Any], reason: str, settles: Iterable[int], *, known: bool = False) -> None:
        """Put what is no document into the open batch's quarantine; fetching it again would not make it one."""
        self._settle_page(settles, known)
        self._open.rejected.append({"reason": reason, "record": record})
        self._open.size += len(json.dumps(record, ensure_ascii=False, default=str))

    def settle(self, hashes: Iterable[int]) -> None:
        """Settle addresses without a page, such as those that are gone, and what waited for them."""
        if not self._open:
            self._open = Batch()
        self._open.settles |= self.seen.settle(hashes)

    def settle_names(self, page: int, names: Iterable[int]) -> None:
        """Settle further names of a page: now when the page is, or else when it comes to a batch."""
        if self.seen.awaits(page):
            self.seen.wait(page, names)
        else:
            self.settle(names)

    def _settle_page(self, settles: Iterable[int], known: bool) -> None:
        settles = set(settles)
        if not known:
            self.seen.release(settles)
        self.settle(settles)

    @property
    def full(self) -> bool:
        """Whether the open batch has reached its size."""
        return len(self._open.lines) + len(self._open.rejected) >= self._pages or self._open.size >= self._size

    @property
    def old(self) -> bool:
        """Whether the open batch has reached its age."""
        waiting = bool(self._open) or self.retries.changed
        return waiting and monotonic() - self._open.opened >= self._seconds

    async def flush(self) -> None:
        """Write the open batch in a thread. After a failure nothing more is written: see `failure`.

        Raises YuqingError (S3 is away or refuses).
        """
        async with self._writing:
            batch, self._open = self._open, Batch()
            if self.failure:
                return
            moment = datetime.now(UTC)
            key = f"raw/{self.site}/{moment:%Y/%m/%d}/{new_ulid()}.jsonl.gz"
            self.retries.recordings(key, batch.recordings)
            failures = self.retries.snapshot()
            if not batch and not failures:
                return
            try:
                await asyncio.to_thread(self._write, batch, key, moment, failures)
            except YuqingError as problem:
                self.failure = problem
                raise
            self.retries.written(batch.settles, batch.recordings)
            self.report.new_articles += len(batch.lines) - batch.known
            self.report.new_via_browser += batch.via_browser
            self.report.quarantined += len(batch.rejected)
            self.report.batches += bool(batch.lines)

    async def close(self) -> None:
        """Give up what failed too often, and write what is left. Raises YuqingError."""
        for failure in self.retries.give_up():
            self.report.gave_up(failure.url, failure.reason)
            if failure.role == "page":
                self.settle([self.retries.address(failure.url)])
        await self.flush()
        await self.flush()  # the failures once more, without those that the last batch settled

    def _write(self, batch: Batch, key: str, moment: datetime, failures: Snapshot | None) -> None:
        if failures:
            failures.write(self.store)
        if batch.lines:
            data = gzip.compress(b"".join(batch.lines), compresslevel=6, mtime=0)
            self.store.put(key, data, content_type="application/gzip")
        if batch.rejected:
            quarantine.write(self.store, STAGE, key, batch.rejected, day=moment)
        if batch.settles:
            self.store.put(segment_key(key), pack(batch.settles), content_type="application/octet-stream")


class BatchPipeline:
    """Hands the spider's pages to the site's BatchWriter, and flushes it by size, by age and at the end."""

    _LOOK_EVERY_S = 1.0

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self.batches = crawler.batches
        self._clock: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler))

    async def open_spider(self) -> None:
        """Start watching the open batch's age."""
        self._clock = asyncio.create_task(self._watch())

    async def process_item(self, item: FetchedPage | LateRecordings) -> FetchedPage | LateRecordings:
        """Collect a page; when the batch is full, wait until it is on S3."""
        if isinstance(item, LateRecordings):
            pass  # what came of them is in the batch already
        elif item.refused:
            self.batches.reject(item.record, item.refused, item.settles)
        else:
            self.batches.add(item.record, item.settles, via_browser=item.via_browser, recordings=item.recordings)
        if self.batches.full:
            await self._flush()
        return item

    async def close_spider(self) -> None:
        """Write what is left."""
        self._closing.set()
        if self._clock:
            await self._clock  # not cancelled: it may be in the middle of a batch
        await self._write(self.batches.close)

    async def _watch(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._LOOK_EVERY_S)
            if self.batches.old:
                await self._flush()

    async def _flush(self) -> None:
        await self._write(self.batches.flush)

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except YuqingError as problem:
            self.crawler.give_up(problem)


def _reason(problem: ValidationError | ValueError) -> str:
    if isinstance(problem, ValidationError):
        first = problem.errors(include_url=False, include_input=False)[0]
        return f"field {'.'.join(str(part) for part in first['loc']) or 'record'}: {first['msg']}"
    return str(problem)
