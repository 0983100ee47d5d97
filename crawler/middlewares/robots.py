"""robots.txt as RFC 9309 means it: what is missing allows everything, what cannot be reached forbids everything."""

from __future__ import annotations

import asyncio
from typing import Self
from urllib.parse import urlsplit

from protego import Protego
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest, NotConfigured, StopDownload
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.httpobj import urlparse_cached

from crawler.circuits import CircuitOpen
from crawler.downloader import ExactDownloader
from crawler.site_crawler import SiteCrawler, of

ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5: at least so much must be read; what follows is left
FORBIDDEN = "forbidden by robots.txt"
_PRIORITY = 1000  # before everything else that waits for the host


class RobotsUnreachable(IgnoreRequest):
    """The host's robots.txt could not be had, so that nothing of it may be asked for in this run (RFC 9309, 2.3.1.4)."""


class ForbiddenByRobots(IgnoreRequest):
    """The host's robots.txt forbids the address."""


class RobotsMiddleware:
    """Takes the place of Scrapy's, which takes errors for permission.

    404 and other refusals (4xx but 429) and redirects without an end allow everything (2.3.1.2, 2.3.1.3); 5xx, 429 and
    hosts that do not answer forbid everything for this run (2.3.1.4), and the next run asks again. Crawl-delay, which the RFC
    does not know and many files have, is taken for seconds between two requests to the host.
    """

    def __init__(self, crawler: SiteCrawler, name: str) -> None:
        self.crawler = crawler
        self._name = name
        self._rules: dict[str, asyncio.Task[Protego | str | None]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        if not crawler.settings.getbool("ROBOTSTXT_OBEY"):
            raise NotConfigured
        middleware = cls(of(crawler), crawler.settings["ROBOTSTXT_USER_AGENT"])
        crawler.signals.connect(middleware.received, signals.bytes_received)
        return middleware

    async def process_request(self, request: Request) -> None:
        """Let the request pass, or raise ForbiddenByRobots, RobotsUnreachable or, with its host cut, CircuitOpen."""
        if request.meta.get("dont_obey_robotstxt"):
            if "robots" in request.meta:
                request.meta["robots"] = 0  # a further try, or redirected
            return
        parts = urlparse_cached(request)
        origin = f"{parts.scheme}://{parts.netloc}"
        task = self._rules.get(origin)
        if task is None:
            task = self._rules[origin] = asyncio.create_task(self._fetch(origin))
        try:
            rules = await asyncio.shield(task)
        except CircuitOpen:
            self._rules.pop(origin, None)  # not asked; the next request does
            raise
        if isinstance(rules, str):
            raise RobotsUnreachable(
                f"{origin}/robots.txt could not be had ({rules}); the next run asks again, obey_robots: false does not ask"
            )
        if rules is not None and not rules.can_fetch(request.url, self._name):
            raise ForbiddenByRobots(FORBIDDEN)

    def received(self, data: bytes, request: Request) -> None:
        """End the download of a robots.txt that is longer than what is read of it."""
        if "robots" in request.meta:
            request.meta["robots"] += len(data)
            if request.meta["robots"] >= ROBOTS_BYTES:
                raise StopDownload(fail=False)

    async def _fetch(self, origin: str) -> Protego | str | None:
        """The host's rules; None when it has none, a reason when they could not be had."""
        request = Request(
            f"{origin}/robots.txt",
            priority=_PRIORITY,
            meta={"dont_obey_robotstxt": True, "robots": 0},
            callback=NO_CALLBACK,
        )
        try:
            response = await self.crawler.engine.download_async(request)
        except CircuitOpen:
            raise
        except IgnoreRequest as problem:
            # Redirects without an end (2.3.1.2); or an address that is refused, of which every page is refused too.
            return None if "redirection" in str(problem) else str(problem)
        except Exception as problem:  # noqa: BLE001 - whatever happened, the file could not be had
            return str(problem) or type(problem).__name__
        rules = _read(response)
        if isinstance(rules, Protego):
            self._keep_to(rules.crawl_delay(self._name), urlsplit(origin).hostname or "")
        return rules

    def _keep_to(self, seconds: float | None, host: str) -> None:
        """Slow the host down as its Crawl-delay asks."""
        if seconds:
            self.crawler.report.crawl_delays[host] = seconds
            downloader = self.crawler.engine.downloader
            assert isinstance(downloader, ExactDownloader)
            downloader.slow_down(host, min(seconds, self.crawler.options.crawl_delay_max_s))


def _read(response: Response) -> Protego | str | None:
    if response.status == 429 or response.status >= 500:
        return f"HTTP {response.status}"
    if response.status != 200:
        return None
    body = response.body[:ROBOTS_BYTES]
    if len(response.body) > ROBOTS_BYTES:
        body = body[: body.rfind(b"\n") + 1]  # half a rule may forbid more than the whole one
    return Protego.parse(body.decode("utf-8", "ignore").removeprefix("\ufeff"))
