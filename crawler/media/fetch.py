"""One recording from its address to the object store: fetched within limits, told by its content, stored once."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from scrapy import Request
from scrapy.http.request import NO_CALLBACK

from crawler.circuits import CircuitOpen
from crawler.media.content import NoRecording, is_playlist, sniff
from crawler.media.folders import temporary_folder
from crawler.media.join import measure
from crawler.media.segments import Limits, fetch_playlist
from crawler.media.transfer import Transfer, TransferRefused
from crawler.middlewares.robots import ForbiddenByRobots, RobotsUnreachable
from crawler.retries import Try
from crawler.site_crawler import MEDIA, SiteCrawler
from yuqing.contracts import MediaReference, now
from yuqing.errors import YuqingError
from yuqing.media_types import SNIFF_BYTES, MediaType, media_key
from yuqing.objects import ObjectStore

_GONE = frozenset({404, 410})
# No room, no right or no place to write, a bad disk, too many open files.
_OUR_FAULTS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EIO, errno.EMFILE, errno.ENFILE}
)
_FURTHER_TRIES = 5  # of one body; each goes on where the last one broke
_AT_ONCE = 8  # recordings on their way, each with a file of its own
_FRESH = timedelta(days=1)  # the shortest time that retention may be set to


@dataclass(frozen=True)
class Fetched:
    """A recording, or why there is none; `again`: a later run may have more luck; outcome: what this try counts for then."""

    reference: MediaReference
    again: bool = False
    outcome: Try = Try.FAILED


class Recordings:
    """The recordings of one run, each address fetched once, however many pages name it."""

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self._fetches: dict[str, asyncio.Task[Fetched]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    def fetch(self, url: str, page: str) -> asyncio.Task[Fetched]:
        """Begin to fetch a recording that a page names, unless that was done before.

        The task raises YuqingError when S3 is away, which ends the crawl, and nothing else.
        """
        if url not in self._fetches:
            self._fetches[url] = asyncio.create_task(self._fetch(url, page))
        return self._fetches[url]

    def cancel(self) -> None:
        """Give up what is on its way."""
        for task in self._fetches.values():
            task.cancel()

    async def _fetch(self, url: str, page: str) -> Fetched:
        async with self._gate:
            try:
                with temporary_folder() as folder:
                    reference = await self._store(url, page, folder)
            except YuqingError:
                raise
            except Exception as problem:  # noqa: BLE001 — whatever the web or the disk does to us is a reason, not a crash
                reason = str(problem) or type(problem).__name__
                self.crawler.report.media_failed += 1
                self.crawler.report.error(url, f"recording: {reason}")
                return Fetched(MediaReference(url=url, error=reason), not _is_final(problem), _outcome(problem))
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
        key = media_key(sha256, kind)
        store = self.crawler.store
        if not await asyncio.to_thread(_is_fresh, store, key):
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
        try:
            response = await self.crawler.engine.download_async(request)
        finally:
            self.crawler.report.bytes += transfer.received
        if response.status != 200:
            raise NoRecording(f"HTTP {response.status}", final=response.status in _GONE)
        transfer.url = response.url
        return transfer


def _is_final(problem: Exception) -> bool:
    if isinstance(problem, (NoRecording, TransferRefused)):
        return problem.final
    return isinstance(problem, ForbiddenByRobots)


def _outcome(problem: Exception) -> Try:
    if isinstance(problem, CircuitOpen):
        return Try.NOT_MADE
    # Our disk says as little of a recording as a robots.txt that does not answer.
    ours = isinstance(problem, OSError) and problem.errno in _OUR_FAULTS
    return Try.IN_VAIN if ours or isinstance(problem, RobotsUnreachable) else Try.FAILED


def _sniff(path: Path) -> MediaType:
    with path.open("rb") as body:
        return sniff(body.read(SNIFF_BYTES))


def _sha256(path: Path) -> str:
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def _is_fresh(store: ObjectStore, key: str) -> bool:
    """Whether the recording is there and not about to be deleted by its age, which is counted from when it was stored."""
    found = next(iter(store.list(key)), None)
    return found is not None and found.modified > now() - _FRESH
