"""Sends requests back whose host is left alone (crawler/circuits.py)."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http.request import NO_CALLBACK

from crawler.circuits import TRIAL, CircuitOpen, Held, host_of, require
from crawler.site_crawler import SiteCrawler, of

_PATIENCE_S = 10.0  # a request that did not pass the scheduler holds a place of the downloader while it waits
_LOOK_S = 0.25  # how often a sleeper looks whether the crawl is ending


class CircuitBreakerMiddleware:
    """Sends requests back whose host is left alone. What their answers say of the host is the retry middleware's part."""

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self.circuits = crawler.circuits

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler))

    def process_request(self, request: Request) -> None:
        """Let the request pass, or raise CircuitOpen or Held."""
        trial = request.meta.get(TRIAL)
        if trial and trial != host_of(request):  # it was redirected: its host has answered
            self.circuits.success(request.replace(url=_origin(request)))
            del request.meta[TRIAL]
        require(self.circuits, request)

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """Give a held request back: to the scheduler, or to the component that waits for it once the wait is over."""
        if not isinstance(exception, Held):
            return None
        if is_direct(request):
            if exception.seconds > _PATIENCE_S:
                raise CircuitOpen(f"{host_of(request)}: {exception}")
            await sleep(self.crawler, exception.seconds)
        return request.copy()


def is_direct(request: Request) -> bool:
    """Whether a component of the crawler waits for the answer itself; such requests do not pass the scheduler."""
    return request.callback is NO_CALLBACK


async def sleep(crawler: SiteCrawler, seconds: float) -> None:
    """Wait; raises CircuitOpen as soon as the crawl ends."""
    until = monotonic() + seconds
    while (rest := until - monotonic()) > 0:
        if crawler.ending:
            raise CircuitOpen("the crawl is ending")
        await asyncio.sleep(min(rest, _LOOK_S))


def _origin(request: Request) -> str:
    host = request.meta[TRIAL]
    return next((url for url in request.meta.get("redirect_urls", []) if urlsplit(url).hostname == host), request.url)
